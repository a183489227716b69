def write_search_report(folder, search, notes):
    (folder / "report.md").write_text("x")
