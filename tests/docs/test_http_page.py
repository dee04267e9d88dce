"""docs/http.md has each path, each parameter, the fields of each answer, and the bounds."""

import json
import re
from collections import Counter
from typing import Any, cast

import msgspec
import pytest
from tables import DOCS, rows, sections

from zreg.http.catalogue.cluster_pages import ClusterPages
from zreg.http.catalogue.service_pages import ServicePages
from zreg.http.catalogue.target_pages import SERVICES_MAX, TARGETS_MAX, TargetPages
from zreg.http.instances.instance_pages import LEASE_SECONDS, LEASE_SECONDS_MAX, InstancePages
from zreg.http.instances.write_checks import BODY_BYTES_MAX
from zreg.http.pages import Page
from zreg.http.responses import CODES
from zreg.http.watches.watch_hub import (
    BUFFER_BYTES_MAX,
    PING_SECONDS,
    WATCHED_NAMES_MAX,
    WATCHES_MAX,
)
from zreg.http.watches.watch_page import WatchPage
from zreg.session.pages import page_datums
from zreg.session.pages.page_questions import PAGE_LINES_MAX

PAGE = (DOCS / "http.md").read_text()
SECTIONS = sections(PAGE)


class NoNode:
    """A node that no page asks in these tests."""

    async def ask(self, question: msgspec.Struct) -> msgspec.Struct:
        raise AssertionError(question)

    def watch(self, on_moved: object) -> Any:
        del on_moved
        return Counter[str]().update


PAGES: list[Page] = [
    *ServicePages(NoNode()).pages(),
    *ClusterPages(NoNode()).pages(),
    *TargetPages(NoNode()).pages(),
    *InstancePages(NoNode(), cast("Any", None)).pages(),
    *WatchPage(NoNode(), Counter()).pages(),
]
# The section of a page is the one that its row in the first table links to; GET is not named.
LINKS = {
    (method.strip() or "GET", path): next(
        (h for h in SECTIONS if h.lower().replace(" ", "-") == anchor), f"no section #{anchor}"
    )
    for method, path, anchor in re.findall(
        r"^\| `([A-Z]* ?)(/\S+)` \| session \|.*?\(#([\w-]+)\)", PAGE, re.MULTILINE
    )
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_each_path_has_a_section_that_names_its_parameters(page: Page) -> None:
    text = SECTIONS[LINKS[page.method, page.path]]
    common = {"limit", "cursor"}
    missing = [
        name
        for name in page.query.__struct_fields__
        if name not in common and f"`{name}`" not in text and f"{name}=" not in text
    ]

    assert missing == []


def shape_of(value: object) -> object:
    """Return the names of the fields of JSON, of the objects in it too."""
    if isinstance(value, dict):
        return {name: shape_of(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape_of(each) for each in value[:1]]
    return None


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if isinstance(page.answer, type) and page.path != "/v1/find"],
    ids=lambda page: f"{page.method} {page.path}",
)
def test_the_example_of_a_page_is_an_answer_with_all_its_fields(page: Page) -> None:
    found = re.findall(r"```json\n(.*?)```", SECTIONS[LINKS[page.method, page.path]], re.DOTALL)
    example = json.loads(found[0])

    kind = cast("type[msgspec.Struct]", page.answer)
    answer = msgspec.convert(example, kind)
    assert json.loads(msgspec.json.encode(answer)) == example
    assert list(example) == [field.encode_name for field in msgspec.structs.fields(kind)]


def test_each_table_of_parameters_names_no_other() -> None:
    known = {name for page in PAGES for name in page.query.__struct_fields__}
    named = {
        name
        for heading in set(LINKS.values())
        for row in rows(SECTIONS[heading])
        for name in re.findall(r"\w+", row[0])
    }

    assert named <= known


def test_the_page_states_bounds_and_codes() -> None:
    text = re.sub(r"\s+", " ", PAGE)
    for words in (
        f"at most {PAGE_LINES_MAX:,}",
        f"for {page_datums._KEPT_SECONDS:g} s after each question",
        f"up to {page_datums._DATUMS_MAX} services",
        f"{WATCHES_MAX:,} watches, of at most {WATCHED_NAMES_MAX:,} services",
        f"{BUFFER_BYTES_MAX >> 10} KiB wait",
        f"every {PING_SECONDS:g} s",
        f"{SERVICES_MAX} services and {TARGETS_MAX:,} instances",
        f"{LEASE_SECONDS:g}, from 1 to {LEASE_SECONDS_MAX:g}",
        f"more than {BODY_BYTES_MAX >> 10} KiB",
        *(
            f"{status} `{CODES[status]}`"
            for status in (400, 403, 404, 405, 413, 415, 421, 429, 503, 504)
        ),
    ):
        assert words in text, words
