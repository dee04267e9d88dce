"""A session remembers when it is due, and never misses a deadline that has moved since."""

from collections.abc import Sequence

import pytest

from zreg.effects import Effect, Link, Local, Peer
from zreg.session.core import SessionCore
from zreg.testing.workloads.cluster_workload import Workload
from zreg.wire.messages import Message


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Compare each answer with the deadlines of all parts; return which answers were remembered."""
    seen: list[bool] = []
    next_tick_at = SessionCore.next_tick_at

    def checked(core: SessionCore) -> float | None:
        seen.append(core._is_due_known)
        due_at = next_tick_at(core)
        assert due_at == core._earliest_deadline(), "a deadline moved, and the session missed it"
        return due_at

    monkeypatch.setattr(SessionCore, "next_tick_at", checked)
    return seen


@pytest.mark.parametrize("seed", [*range(1, 9), 101, 102])
def test_what_a_session_remembers_is_what_its_parts_say(seed: int, remembered: list[bool]) -> None:
    Workload(seed).run()

    assert any(remembered)
    assert not all(remembered)


def test_the_comparison_finds_a_session_that_remembers_too_long(
    remembered: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = SessionCore.receive

    def forgetful(
        core: SessionCore, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        before = core._is_due_known
        effects = receive(core, link, peer, message, now)
        core._is_due_known = before
        return effects

    monkeypatch.setattr(SessionCore, "receive", forgetful)

    with pytest.raises(AssertionError, match="a deadline moved"):
        Workload(1).run()
