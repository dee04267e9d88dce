"""Reading the tables of our own documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def sections(text: str) -> dict[str, str]:
    """Return the text under each heading, by heading; code fences hold no headings."""
    found: dict[str, list[str]] = {"": []}
    here, is_code = "", False
    for line in text.splitlines():
        is_code ^= line.startswith("```")
        if line.startswith("#") and not is_code:
            here = line.lstrip("#").strip()
            assert here not in found, f"two sections are called {here!r}"
            found[here] = []
        else:
            found[here].append(line)
    return {heading: "\n".join(lines) for heading, lines in found.items()}


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every table row, without heads and rules."""
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        is_head = not before.startswith("|")
        if line.startswith("|") and not is_head and not re.fullmatch(r"[|\s:-]+", line):
            yield [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]


def table(heading: str, text: str) -> list[list[str]]:
    """Return the rows under one heading of a page."""
    return list(rows(sections(text)[heading]))
