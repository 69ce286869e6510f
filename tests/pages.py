"""Reading the pages of docs/ for the tests that hold them against the code."""

import re


def table(text: str, title: str) -> list[list[str]]:
    """Returns the rows of the table with this title in its first column."""
    lines = text[text.index(f"| {title} |") :].splitlines()
    rows = lines[2 : next(n for n, line in enumerate([*lines, ""]) if not line.startswith("|"))]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in rows]
