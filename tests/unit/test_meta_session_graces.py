"""The grace of a departed session runs while a leader is awake and a session renews."""

import pytest

from zreg.config import Config
from zreg.meta.members.memory.session_graces import SessionGraces
from zreg.model import Incarnation, Member, Membership, RingParameters, Role, Status

CONFIG = Config()
GRACE = CONFIG.session_grace_seconds
GONE = Incarnation(1, "s1")


def membership(*departed: str) -> Membership:
    members = tuple(
        Member(node_id, Role.SESSION, 1, Status.DEPARTED, "tcp://x:1") for node_id in departed
    )
    return Membership(b"c", 9, 0, RingParameters(), members)


class Graces:
    """The graces of one leader, with a clock that ticks as often as a leader does."""

    def __init__(self) -> None:
        self.now = 100.0
        self.graces = SessionGraces(CONFIG)
        self.graces.begin()
        self.graces.follow(membership("s1"))

    def pass_time(self, seconds: float, *, renewing: bool = True) -> list[Incarnation]:
        """Let time pass; return the sessions whose grace is over then."""
        over: list[Incarnation] = []
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            if renewing:
                self.graces.on_session_renewed(self.now)
            over = self.graces.count(self.now)
        return over


def test_a_grace_ends_after_its_time() -> None:
    graces = Graces()

    assert graces.pass_time(GRACE - 0.5) == []
    assert graces.pass_time(1.0) == [GONE]
    graces.graces.follow(membership())
    assert graces.pass_time(GRACE) == []


def test_a_grace_that_began_is_not_prolonged_by_another_membership() -> None:
    graces = Graces()
    graces.pass_time(GRACE - 0.5)
    graces.graces.follow(membership("s1", "s2"))

    assert graces.pass_time(1.0) == [GONE]


def test_no_grace_runs_while_no_session_renews() -> None:
    """Clients cannot register anywhere then."""
    graces = Graces()
    graces.pass_time(1.0)

    assert graces.pass_time(10 * GRACE, renewing=False) == []
    assert graces.pass_time(GRACE - 4.0) == []
    assert graces.pass_time(4.0) == [GONE]


@pytest.mark.parametrize("seconds", [1.0, 60.0])
def test_the_time_in_which_the_leader_slept_does_not_count(seconds: float) -> None:
    graces = Graces()
    graces.pass_time(GRACE - 0.5)
    graces.now += seconds

    assert graces.pass_time(0.2) == []


def test_a_new_leadership_begins_with_whole_graces() -> None:
    graces = Graces()
    graces.pass_time(GRACE - 0.5)
    graces.graces.begin()
    graces.graces.follow(membership("s1"))

    assert graces.pass_time(GRACE - 0.5) == []
