"""The site has every page, the API reference every public name, and times are those of Config."""

import re
from pathlib import Path

import pytest
from tables import DOCS, PAGES, ROOT

import zreg
from zreg.config import Config

NAVIGATION = re.findall(
    r"^ +- .+: (\S+\.md)$", (DOCS / "site/mkdocs.yml").read_text(), re.MULTILINE
)
# hooks.py lists the decisions; README.md is the home page.
EXPECTED = {
    page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).as_posix()
    for page in PAGES
    if page.parent != DOCS / "adr" and page != ROOT / "README.md"
} | {"index.md"}
# `0.5 s (`disconnect_grace_seconds`)`, the same in two cells of a table, or the other way round.
_NUMBER = r"(\d+(?:\.\d+)?)"
_VALUE_AND_FIELD = re.compile(_NUMBER + r"(?: s)?(?:[^|`\d(]*\(| \| )`([a-z_]+)`")
_FIELD_AND_VALUE = re.compile(r"`([a-z_]+)` \(" + _NUMBER + r"\)")
# The protocol has fields of these names too, and configuration.md is compared as a whole.
_TIMED = [page for page in PAGES if page.parent == DOCS or page == ROOT / "README.md"]
_TIMED = [page for page in _TIMED if page.stem not in {"configuration", "protocol"}]


def values_of(text: str) -> set[tuple[str, float]]:
    """Return the settings that a text names with a value."""
    text = re.sub(r"\s+", " ", text)
    found = [(field, value) for value, field in _VALUE_AND_FIELD.findall(text)]
    found += _FIELD_AND_VALUE.findall(text)
    return {(field, float(value)) for field, value in found if field in Config.__struct_fields__}


def test_each_page_is_in_the_navigation_once() -> None:
    assert len(NAVIGATION) == len(set(NAVIGATION))
    assert EXPECTED - set(NAVIGATION) == set(), "add a line to `nav` in docs/site/mkdocs.yml"
    assert set(NAVIGATION) - EXPECTED == set()


def test_the_reference_has_each_public_name_once() -> None:
    text = (DOCS / "reference.md").read_text()
    found = re.findall(r"^::: zreg\.(\w+)$", text, re.MULTILINE)

    assert sorted(found) == sorted(zreg._HOMES)


@pytest.mark.parametrize("page", _TIMED, ids=lambda page: page.name)
def test_a_time_or_limit_in_a_page_is_the_default_of_its_setting(page: Path) -> None:
    config = Config.for_lan()
    found = values_of(page.read_text())

    assert {(name, value) for name, value in found if value != getattr(config, name)} == set()


def test_the_page_on_faults_names_the_setting_of_each_lease_and_grace() -> None:
    found = {name for name, _ in values_of((DOCS / "faults.md").read_text())}

    assert {"lease_seconds", "disconnect_grace_seconds", "session_grace_seconds"} <= found


@pytest.mark.parametrize(
    "text",
    [
        "after 9 s (`lease_seconds`)",
        "`lease_seconds` (9)",
        "| a pause | 9 s | `lease_seconds` |",
        "after the lease of 9 s\n(`lease_seconds`)",
        "a session with 9 clients (`lease_seconds`)",
    ],
)
def test_a_value_and_its_setting_are_found(text: str) -> None:
    assert values_of(text) == {("lease_seconds", 9.0)}
