"""The log in memory: merging, limits, compaction."""

from hypothesis import given
from hypothesis import strategies as st
from raft_helpers import (
    commands,
)

from zreg.raft.log import RaftLog
from zreg.raft.ready import Persisted, is_gapless


@given(st.lists(st.integers(1, 4), max_size=12).map(sorted), st.integers(0, 14), st.integers(0, 5))
def test_the_hint_is_the_last_index_that_may_agree(terms: list[int], index: int, term: int) -> None:
    log = RaftLog(Persisted(term=9, entries=commands(1, *terms)))

    found = log.index_not_above(index, term)

    known = dict(enumerate(terms, start=1)) | {0: 0}
    assert found == max(
        (each for each in known if each <= index and known[each] <= term), default=0
    )


@given(
    st.lists(st.integers(1, 3), max_size=8).map(sorted),
    st.lists(st.integers(1, 3), max_size=8).map(sorted),
    st.data(),
)
def test_merging_makes_the_logs_agree_and_truncates_only_at_conflicts(
    mine: list[int], theirs: list[int], data: st.DataObject
) -> None:
    log = RaftLog(Persisted(term=9, entries=commands(1, *mine)))
    agreed = 0
    for one, other in zip(mine, theirs, strict=False):
        if one != other:
            break
        agreed += 1
    start = data.draw(st.integers(0, agreed))
    stop = data.draw(st.integers(start, len(theirs)))

    log.merge(commands(1, *theirs)[start:stop])

    kept = [entry.term for entry in log.entries_between(0, log.last_index)]
    expected = mine if stop <= agreed else theirs[:stop] if theirs[:stop] != mine[:stop] else mine
    assert kept == expected


def test_entries_from_fit_the_limit_except_for_the_first() -> None:
    log = RaftLog(Persisted(term=1, entries=commands(1, 1, 1, 1)))
    size = commands(1, 1)[0].size_bytes

    assert [entry.index for entry in log.entries_from(1, 1)] == [1]
    assert [entry.index for entry in log.entries_from(1, 2 * size)] == [1, 2]
    assert [entry.index for entry in log.entries_from(2, 1000)] == [2, 3]
    assert log.entries_from(4, 1000) == ()


def test_compaction_keeps_a_tail_within_count_and_bytes() -> None:
    size = commands(1, 1)[0].size_bytes
    log = RaftLog(Persisted(term=1, entries=commands(1, *([1] * 9))))
    log.commit_to(8)
    log.take_committed(100)

    log.compact(b"state", keep_count=3, keep_bytes=1000)
    assert (log.anchor_index, log.last_index, log.size_bytes) == (5, 9, 4 * size)
    log.compact(b"state", keep_count=3, keep_bytes=2 * size)
    assert (log.anchor_index, log.last_index, log.size_bytes) == (7, 9, 2 * size)
    assert log.take_save(1, None).compact_to == 6


def test_gaps_and_falling_terms_are_found() -> None:
    assert is_gapless(1, 1, commands(2, 1, 2))
    assert not is_gapless(1, 1, commands(3, 1))
    assert not is_gapless(1, 2, commands(2, 1))
