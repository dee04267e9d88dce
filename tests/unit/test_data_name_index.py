"""The names of datums in order: what a listing goes through, also while names come and go."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from zreg.data.store import name_index
from zreg.data.store.name_index import NameIndex
from zreg.model import DataInfoId

NAMES = st.text(st.sampled_from("abc"), min_size=1, max_size=3).map(DataInfoId)


class Bench:
    """An index, the names that there are, and how often all of them were looked at."""

    def __init__(self, *names: str) -> None:
        self.names = {DataInfoId(name) for name in names}
        self.scan_count = 0
        self.index = NameIndex(self._all)

    def _all(self) -> Iterator[DataInfoId]:
        self.scan_count += 1
        return iter(self.names)

    def add(self, name: str) -> None:
        self.names.add(DataInfoId(name))
        self.index.add(DataInfoId(name))

    def after(self, name: str = "", prefix: str = "") -> list[str]:
        return [each for each in self.index.after(name, prefix) if each in self.names]


def test_names_are_sorted_once_and_then_kept_in_order() -> None:
    bench = Bench("b", "a")
    assert bench.after() == ["a", "b"]

    bench.add("aa")
    bench.add("c")
    assert bench.after() == ["a", "aa", "b", "c"]
    assert bench.after("aa") == ["b", "c"]
    assert bench.after(prefix="a") == ["a", "aa"]
    assert bench.after("a", "a") == ["aa"]
    assert bench.after("b", "a") == []
    assert bench.scan_count == 1


def test_what_nobody_lists_is_not_kept() -> None:
    bench = Bench()
    for number in range(10):
        bench.add(f"name-{number}")
        bench.index.note_removed()

    assert bench.index._added == []
    assert bench.scan_count == 0


def test_after_many_changes_the_names_are_sorted_anew() -> None:
    bench = Bench("a")
    bench.after()
    for number in range(name_index._CHANGES_MAX + 1):
        bench.add(f"name-{number % 3}")
    assert bench.index._added == []
    assert bench.after() == ["a", "name-0", "name-1", "name-2"]
    assert bench.scan_count == 2

    for _ in range(name_index._CHANGES_MAX + 1):
        bench.index.note_removed()
    assert bench.after() == ["a", "name-0", "name-1", "name-2"]
    assert bench.scan_count == 3


@given(st.lists(st.tuples(st.booleans(), NAMES), max_size=30), NAMES, NAMES)
def test_it_yields_exactly_the_names_after_one_with_the_prefix(
    changes: list[tuple[bool, DataInfoId]], after: str, prefix: str
) -> None:
    bench = Bench("b")
    for is_added, name in changes:
        if is_added and name not in bench.names:
            bench.add(name)
        elif not is_added and name in bench.names:
            bench.names.remove(name)
            bench.index.note_removed()
        list(bench.index.after("", ""))

    assert bench.after(after, prefix) == sorted(
        name for name in bench.names if name > after and name.startswith(prefix)
    )
