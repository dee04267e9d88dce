"""Prose names its actors: no vague pronoun stands for a node, a client, a record or a message."""

import re
from pathlib import Path

import pytest
from tables import ROOT

VAGUE = re.compile(r"\b(whoever|whatever|somebody|nobody|anybody|someone)\b", re.IGNORECASE)
PROSE = sorted(
    [
        *(ROOT / "zreg").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
    ]
)


def vague_words(text: str) -> list[str]:
    """Return each vague pronoun of a text with its line number; an underscore ends a word."""
    return [
        f"line {number}: {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in VAGUE.findall(line.replace("_", " "))
    ]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_has_no_vague_pronoun(page: Path) -> None:
    assert vague_words(page.read_text()) == []


def test_the_count_ignores_case_and_looks_into_names() -> None:
    text = "Whoever asks\nTHE NOBODY_SECONDS\nnobodys\n"

    assert vague_words(text) == ["line 1: Whoever", "line 2: NOBODY"]
