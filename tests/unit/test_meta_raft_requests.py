"""Each proposal and each read is answered once, by what became of its entry or its token."""

from random import Random

import pytest
from meta_fakes import NAMES, PEERS

from zreg.effects import Effect, Log
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.group.raft_requests import OnApplied, RaftRequests
from zreg.meta.peers.identity import first_save, persisted_of
from zreg.meta.state.applied import Applied
from zreg.raft.consensus import RaftCore
from zreg.raft.errors import NotLeaderError
from zreg.raft.status import Role
from zreg.wire.log_commands import Raise
from zreg.wire.records.raft_messages import Entry, EntryKind

DONE = Applied(is_changed=True)


def leading() -> RaftCore:
    """Return the core of a lone node that leads."""
    raft = new_raft("m1", persisted_of(first_save({"m1": ""})), Random(1))
    while raft.role is not Role.LEADER or raft.ready() is not None:
        raft.tick()
        while raft.ready() is not None:
            raft.advance()
    return raft


class Answers:
    """Records the answers that owners get."""

    def __init__(self) -> None:
        self.found: list[tuple[str, object, float]] = []

    def applied(self, name: str) -> OnApplied:
        def on_applied(applied: Applied | None, now: float) -> list[Effect]:
            self.found.append((name, applied, now))
            return [Log(20, name, {})]

        return on_applied


def entry(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, b"")


def test_a_proposal_is_answered_when_its_entry_is_applied() -> None:
    raft, answers = leading(), Answers()
    requests = RaftRequests(raft)
    requests.propose(Raise(5), answers.applied("a"))
    index, term = raft.log.last_index, raft.term

    assert requests.on_entry_applied(entry(index - 1, term), DONE, 1.0) == []
    assert requests.on_entry_applied(entry(index, term), DONE, 2.0) == [Log(20, "a", {})]
    assert requests.on_entry_applied(entry(index, term), DONE, 3.0) == []
    assert answers.found == [("a", DONE, 2.0)]


def test_an_entry_of_another_term_does_not_answer_with_its_result() -> None:
    raft, answers = leading(), Answers()
    requests = RaftRequests(raft)
    requests.propose(Raise(5), answers.applied("a"))

    requests.on_entry_applied(entry(raft.log.last_index, raft.term + 1), DONE, 2.0)

    assert answers.found == [("a", None, 2.0)]


def test_proposals_whose_entries_are_cut_off_get_no_result() -> None:
    raft, answers = leading(), Answers()
    requests = RaftRequests(raft)
    for name in ("a", "b", "c"):
        requests.propose(Raise(5), answers.applied(name))
    first = raft.log.last_index - 2

    requests.on_log_truncated(first + 1, 1.0)
    assert answers.found == [("b", None, 1.0), ("c", None, 1.0)]
    requests.on_snapshot_restored(first, 2.0)

    assert answers.found[2:] == [("a", None, 2.0)]
    assert repr(requests) == "<RaftRequests proposals=0 reads=0>"


def test_a_node_that_does_not_lead_takes_no_requests() -> None:
    raft, answers = new_raft("m1", persisted_of(first_save(PEERS)), Random(1)), Answers()
    requests = RaftRequests(raft)

    with pytest.raises(NotLeaderError):
        requests.propose(Raise(5), answers.applied("a"))
    with pytest.raises(NotLeaderError):
        requests.change_configuration(raft.configuration.without(NAMES[2]), answers.applied("a"))
    with pytest.raises(NotLeaderError):
        requests.read(lambda _is_confirmed, _now: [])

    assert repr(requests) == "<RaftRequests proposals=0 reads=0>"
    assert answers.found == []


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_a_read_is_answered_by_its_token(*, is_confirmed: bool) -> None:
    found: list[tuple[bool, float]] = []
    requests = RaftRequests(leading())

    def on_confirmed(is_confirmed: bool, now: float) -> list[Effect]:  # noqa: FBT001 -- a callback
        found.append((is_confirmed, now))
        return []

    requests.read(on_confirmed)
    assert requests.on_read(1, 3.0, is_confirmed=is_confirmed) == []

    assert found == [(is_confirmed, 3.0)]
