"""Find the project's documentation pages, and read their tables."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", "systemd/*.md")
    for page in ROOT.glob(pattern)
)


def sections(text: str) -> dict[str, str]:
    """Return the text under each heading, by heading; lines inside code fences are not headings."""
    found: dict[str, list[str]] = {"": []}
    heading, is_code = "", False
    for line in text.splitlines():
        is_code ^= line.startswith("```")
        if line.startswith("#") and not is_code:
            heading = line.lstrip("#").strip()
            assert heading not in found, f"two sections are called {heading!r}"
            found[heading] = []
        else:
            found[heading].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every table row, without header rows and separator rows."""
    lines = text.splitlines()
    for previous, line in zip(["", *lines], lines, strict=False):
        is_header = not previous.startswith("|")
        if line.startswith("|") and not is_header and not re.fullmatch(r"[|\s:-]+", line):
            yield [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]


def table(heading: str, text: str) -> list[list[str]]:
    """Return the table rows under one heading of a page."""
    return list(rows(sections(text)[heading]))
