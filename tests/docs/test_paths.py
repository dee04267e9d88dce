"""Pages and docstrings name files that exist; each walk of architecture.md names a module once."""

import re
from pathlib import Path

import pytest
from tables import DOCS, PAGES, ROOT, sections, table

FOLDERS = ("bench", "docs", "examples", "systemd", "tests", "zreg")
ARCHITECTURE = (DOCS / "architecture.md").read_text()
WALKS = [f"The walk of a {thing}" for thing in ("publish", "change", "setting")]
NEWCOMER_FILES_MAX = 10


def named_paths(text: str) -> list[str]:
    """Return the paths in backticks that begin with a folder of the project, without patterns."""
    found = re.findall(r"`([\w.-]+/[\w./-]*)`", text)
    return [path for path in found if path.split("/")[0] in FOLDERS]


def anchors(page: Path) -> set[str]:
    """Return the anchor that GitHub makes of each heading: lower case, hyphens, no punctuation."""
    headings = sections(page.read_text())
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def named_tests(text: str) -> list[str]:
    """Return the test files that a text names without their folder."""
    return re.findall(r"`(test_\w+\.py)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_path_in_a_page_exists(page: Path) -> None:
    text = page.read_text()
    missing = [path for path in named_paths(text) if not (ROOT / path).exists()]
    missing += [name for name in named_tests(text) if not list((ROOT / "tests").rglob(name))]

    assert missing == []


def test_a_path_in_a_docstring_or_comment_exists() -> None:
    sources = {path: path.read_text() for path in (ROOT / "zreg").rglob("*.py")}
    named = {(path, name) for path, text in sources.items() for name in named_paths(text)}

    assert [(path, name) for path, name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_anchor_in_a_link_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^():#]*)#([^()]+)\)", page.read_text())
    targets = {(page.parent / path if path else page, anchor) for path, anchor in links}

    assert [anchor for target, anchor in targets if anchor not in anchors(target)] == []


def test_the_layers_name_every_package() -> None:
    layers = sections(ARCHITECTURE)["The layers"].split("```")[1]
    named = set(re.findall(r"^ {2}([\w/]+)/ ", layers, re.MULTILINE))
    packages = {path.parent.name for path in (ROOT / "zreg").glob("*/__init__.py")}

    assert named == packages | {"client/core"}


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_names_each_module_once(walk: str) -> None:
    modules = [row[0].removeprefix("⇢ ").strip("`") for row in table(walk, ARCHITECTURE)]

    assert [module for module in modules if not (ROOT / "zreg" / module).is_file()] == []
    assert len(modules) == len(set(modules)) > 1


def test_the_reading_order_has_at_most_ten_files() -> None:
    order = ARCHITECTURE.partition("## A reading order for a newcomer")[2]
    files = [path for path in named_paths(order) if path.endswith(".py")]

    assert 0 < len(files) <= NEWCOMER_FILES_MAX


def test_the_index_lists_every_decision() -> None:
    index = (DOCS / "adr" / "README.md").read_text()
    pages = {page.name for page in (DOCS / "adr").glob("[0-9]*.md")}

    assert set(re.findall(r"\]\(([0-9][^()]*\.md)\)", index)) == pages
