"""What recipes of one kind share: how they predict, score, report and export."""
