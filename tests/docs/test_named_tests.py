"""The tests that docs/testing.md names exist."""

import re

import pytest
from tables import ROOT

NAMED = re.findall(r"`(tests/\S+?\.py)::(test_\w+)`", (ROOT / "docs/testing.md").read_text())


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 15


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / path).read_text()
