"""One question to whoever can answer it: in turn, where the leader is, patiently if it may."""

import pytest

from zreg.cli.ask import AskCore, Finished
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import NotLeaderError, NotReadyError, VersionMismatchError
from zreg.wire.common_messages import Ping, Pong, Refused
from zreg.wire.messages import Message
from zreg.wire.settings_messages import SetSetting, SettingsReply

ONE, TWO, LEADER = "tcp://one:1", "tcp://two:1", "tcp://leader:1"
QUESTION = SetSetting(1, "a", "1", 0, b"i" * 16)
YES = SettingsReply(1, ())
NOT_YET = Refused(1, NotReadyError.code, "the leader changed")
TIMEOUT, PAUSE = 4.0, 0.1
DONE = [Emit(Finished())]


class Asker:
    """An `AskCore` with a clock."""

    def __init__(self, *addresses: str, is_patient: bool = True) -> None:
        self.now = 10.0
        self.core = AskCore(
            Link.META,
            addresses or (ONE, TWO),
            QUESTION,
            SettingsReply,
            timeout_seconds=TIMEOUT,
            is_patient=is_patient,
        )
        self.begun = list(self.core.start(self.now))

    def happen(self, event: Local) -> list[Effect]:
        return list(self.core.receive(Link.LOCAL, "", event, self.now))

    def reach(self, address: str) -> list[Effect]:
        return self.happen(PeerUp(Link.META, address))

    def lose(self, address: str, reason: str = "refused") -> list[Effect]:
        return self.happen(PeerLost(Link.META, address, reason))

    def hear(self, message: Message, address: str = ONE) -> list[Effect]:
        return list(self.core.receive(Link.META, address, message, self.now))

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass; return the effects of the first tick that has any."""
        end = self.now + seconds
        while (due := self.core.next_tick_at()) is not None and due <= end:
            self.now = due
            if effects := list(self.core.tick(self.now)):
                return effects
        self.now = end
        return list(self.core.tick(self.now))


def connect(address: str) -> Effect:
    return Connect(Link.META, address, address)


def leave(address: str) -> Effect:
    return Disconnect(Link.META, address)


def elsewhere(address: str) -> Refused:
    return Refused(1, NotLeaderError.code, "no leader", address=address)


def test_the_first_that_answers_ends_it() -> None:
    asker = Asker()

    assert asker.begun == [connect(ONE)]
    assert asker.reach(ONE) == [Send(Link.META, ONE, QUESTION)]
    assert asker.hear(YES) == DONE
    assert asker.core.answer == YES
    assert asker.core.next_tick_at() is None
    assert asker.wait(2 * TIMEOUT) == []


@pytest.mark.parametrize("is_patient", [False, True])
def test_where_nobody_can_be_reached_it_ends_with_the_last(*, is_patient: bool) -> None:
    """A wrong address is said at once."""
    asker = Asker(is_patient=is_patient)

    assert asker.lose(ONE) == [connect(TWO)]
    assert asker.lose(TWO, "") == DONE

    assert asker.core.answer is None
    assert not asker.core.is_in_doubt
    assert asker.core.reasons == {ONE: "refused", TWO: "lost"}


def test_without_patience_each_is_asked_once() -> None:
    asker = Asker(is_patient=False)
    asker.reach(ONE)

    assert asker.wait(TIMEOUT / 2 - 0.01) == []
    assert asker.wait(0.02) == [leave(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.lose(TWO, "closed") == DONE
    assert asker.core.reasons == {ONE: "no answer", TWO: "closed"}
    assert asker.core.is_in_doubt


def test_without_patience_not_ready_is_an_answer() -> None:
    asker = Asker(is_patient=False)
    asker.reach(ONE)

    assert asker.hear(NOT_YET) == DONE
    assert asker.core.answer == NOT_YET


def test_a_connection_that_is_lost_is_no_end_for_who_is_patient() -> None:
    """The same question goes to the next, and after a round to the first again."""
    asker = Asker()
    asker.reach(ONE)

    assert asker.lose(ONE, "closed") == [connect(TWO)]
    assert asker.lose(TWO) == []
    assert asker.wait(PAUSE) == [connect(ONE)]
    assert asker.reach(ONE) == [Send(Link.META, ONE, QUESTION)]
    assert asker.hear(YES) == DONE


def test_an_unknown_outcome_is_no_end_for_who_is_patient() -> None:
    asker = Asker(ONE)
    asker.reach(ONE)

    assert asker.hear(NOT_YET) == [leave(ONE)]
    assert asker.wait(PAUSE) == [connect(ONE)]
    assert asker.reach(ONE) == [Send(Link.META, ONE, QUESTION)]
    assert asker.hear(YES) == DONE
    assert asker.core.answer == YES


def test_who_does_not_answer_is_left_although_there_is_nobody_else() -> None:
    asker = Asker(ONE)
    asker.reach(ONE)

    assert asker.wait(2.49) == []
    assert asker.wait(0.02) == [leave(ONE)]
    assert asker.wait(PAUSE) == [connect(ONE)]


def test_patience_ends_with_the_time_and_tells_the_last_no() -> None:
    asker = Asker(ONE)
    ends_at = asker.now + TIMEOUT
    effects: list[Effect] = []
    while effects[-1:] != DONE:
        assert asker.now < ends_at
        asker.reach(ONE)
        asker.now += 0.5
        effects = asker.hear(NOT_YET)
        asker.wait(PAUSE)

    assert asker.core.answer == NOT_YET
    assert ends_at - 2 * (0.5 + PAUSE) < asker.now


def test_an_answer_that_never_comes_ends_with_the_time() -> None:
    asker = Asker()
    asker.reach(ONE)
    ends_at = asker.now + TIMEOUT

    assert asker.wait(TIMEOUT) == [leave(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.wait(TIMEOUT) == [leave(TWO), *DONE]

    assert asker.now == ends_at
    assert asker.core.answer is None
    assert asker.core.is_in_doubt


def test_what_a_node_said_is_not_forgotten_when_the_time_is_over() -> None:
    asker = Asker(ONE)
    asker.now += TIMEOUT - 5 * PAUSE
    asker.reach(ONE)
    asker.hear(elsewhere(""))
    assert asker.wait(PAUSE) == [connect(ONE)]
    asker.reach(ONE)

    assert asker.wait(TIMEOUT) == [leave(ONE), *DONE]
    assert asker.core.reasons == {ONE: "no leader"}


def test_nobody_is_asked_when_too_little_time_is_left_for_an_answer() -> None:
    """It would be in doubt whether a change is done, which was clear before."""
    asker = Asker(ONE)
    asker.now += TIMEOUT - 2 * PAUSE
    asker.reach(ONE)

    assert asker.hear(elsewhere("")) == [leave(ONE), *DONE]
    assert not asker.core.is_in_doubt
    assert asker.core.no_leader == "no leader"


@pytest.mark.parametrize("is_patient", [False, True])
def test_it_goes_where_the_leader_is(*, is_patient: bool) -> None:
    asker = Asker(is_patient=is_patient)
    asker.reach(ONE)

    assert asker.hear(elsewhere(LEADER)) == [leave(ONE), connect(LEADER)]
    assert asker.reach(LEADER) == [Send(Link.META, LEADER, QUESTION)]
    assert asker.hear(YES, LEADER) == DONE


def test_where_nobody_leads_the_next_is_asked_and_later_all_again() -> None:
    asker = Asker()
    asker.reach(ONE)

    assert asker.hear(elsewhere("")) == [leave(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.hear(elsewhere(""), TWO) == [leave(TWO)]
    assert asker.wait(PAUSE) == [connect(ONE)]


def test_a_leader_that_was_killed_is_looked_for_until_there_is_another() -> None:
    asker = Asker()
    asker.reach(ONE)
    asker.hear(elsewhere(LEADER))

    assert asker.lose(LEADER) == [connect(TWO)]
    assert asker.lose(TWO) == []
    asker.wait(PAUSE)
    asker.reach(ONE)
    assert asker.hear(elsewhere(TWO)) == [leave(ONE), connect(TWO)]


@pytest.mark.parametrize("is_patient", [False, True])
def test_nodes_that_send_it_round_in_a_circle_are_left(*, is_patient: bool) -> None:
    asker = Asker(ONE, is_patient=is_patient)
    here, there = ONE, LEADER
    for _ in range(3):
        asker.reach(here)
        assert asker.hear(elsewhere(there), here) == [leave(here), connect(there)]
        here, there = there, here
    asker.reach(here)

    assert asker.hear(elsewhere(there), here) == [leave(here), *([] if is_patient else DONE)]


def test_where_nobody_leads_nothing_was_done_and_the_reason_is_kept() -> None:
    asker = Asker(is_patient=False)
    asker.reach(ONE)
    asker.hear(elsewhere(""))

    assert asker.lose(TWO) == DONE
    assert not asker.core.is_in_doubt
    assert asker.core.no_leader == "no leader"


def test_a_node_of_another_cluster_ends_it_at_once_with_the_reason() -> None:
    asker = Asker(ONE)
    asker.reach(ONE)

    assert asker.happen(PeerIncompatible(Link.META, ONE, "it is of cluster 'x'")) == [
        leave(ONE),
        *DONE,
    ]
    assert asker.core.reasons == {ONE: "it is of cluster 'x'"}
    assert not asker.core.is_in_doubt


def test_a_real_no_is_an_answer() -> None:
    asker = Asker()
    asker.reach(ONE)
    no = Refused(1, VersionMismatchError.code, "a is at version 9")

    assert asker.hear(no) == DONE
    assert asker.core.answer == no


def test_what_comes_from_strangers_and_from_before_is_nothing() -> None:
    asker = Asker()
    asker.reach(ONE)
    asker.lose(ONE)

    assert asker.hear(NOT_YET) == []
    assert asker.hear(Refused(7, NotReadyError.code), TWO) == []
    assert asker.lose(ONE) == []
    assert asker.reach(ONE) == []
    assert asker.happen(PeerSlow(Link.META, TWO)) == []
    assert asker.hear(Pong(), TWO) == []
    assert asker.hear(Ping(), TWO) == [Send(Link.META, TWO, Pong())]
    assert asker.core.settle(asker.now) == []
    assert asker.core.statistics() == {"addresses_left": 0}
