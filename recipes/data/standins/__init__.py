"""Data for when the real thing cannot be had: generated or packaged, and never in silence."""
