"""A command asks one node after the other, follows the leader, and asks again if it may."""

import pytest
from msgspec.structs import replace

from zreg.cli.asking.ask_core import AskCore, Finished
from zreg.effects import (
    Connect,
    Disconnect,
    Effect,
    Emit,
    Link,
    Local,
    PeerDelayed,
    PeerIncompatible,
    PeerLost,
    PeerSlow,
    PeerUp,
    Send,
)
from zreg.errors import (
    NotLeaderError,
    NotReadyError,
    UnknownMessageError,
    VersionMismatchError,
)
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Ping, Pong, Refused
from zreg.wire.records.settings_messages import SetSetting, SettingsReply

ONE, TWO, LEADER = "tcp://one:1", "tcp://two:1", "tcp://leader:1"
QUESTION = SetSetting(1, "a", "1", 0, b"i" * 16)
ANSWER = SettingsReply(1, ())
NOT_READY = Refused(1, NotReadyError.code, "the leader changed")
TIMEOUT, PAUSE, BESIDE = 4.0, 0.1, 0.25
FINISHED = [Emit(Finished())]


class Asker:
    """An `AskCore` with a clock that the test moves."""

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
        self.first_effects = list(self.core.start(self.now))

    def notify(self, event: Local) -> list[Effect]:
        return list(self.core.receive(Link.LOCAL, "", event, self.now))

    def reach(self, address: str) -> list[Effect]:
        return self.notify(PeerUp(Link.META, address))

    def lose(self, address: str, reason: str = "refused") -> list[Effect]:
        return self.notify(PeerLost(Link.META, address, reason))

    def receive(self, message: Message, address: str = ONE) -> list[Effect]:
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


def disconnect(address: str) -> Effect:
    return Disconnect(Link.META, address)


def not_leader(address: str) -> Refused:
    return Refused(1, NotLeaderError.code, "no leader", address=address)


def test_the_first_answer_ends_it() -> None:
    asker = Asker()

    assert asker.first_effects == [connect(ONE)]
    assert asker.reach(ONE) == [Send(Link.META, ONE, QUESTION)]
    assert asker.receive(ANSWER) == FINISHED
    assert asker.core.answer == ANSWER
    assert asker.core.next_tick_at() is None
    assert asker.wait(2 * TIMEOUT) == []


@pytest.mark.parametrize("is_patient", [False, True])
def test_if_no_node_can_be_reached_it_ends_with_the_last_address(*, is_patient: bool) -> None:
    """A wrong address is reported at once, also by a patient core."""
    asker = Asker(is_patient=is_patient)

    assert asker.lose(ONE) == [connect(TWO)]
    assert asker.lose(TWO, "") == FINISHED

    assert asker.core.answer is None
    assert not asker.core.findings.may_be_done
    assert asker.core.findings.reasons == {ONE: "refused", TWO: "lost"}


@pytest.mark.parametrize("is_patient", [False, True])
def test_beside_a_node_that_does_not_accept_the_next_one_is_dialled(*, is_patient: bool) -> None:
    """A machine that left the network says nothing; a command has its answer at once."""
    asker = Asker(is_patient=is_patient)

    assert asker.wait(BESIDE - 0.01) == []
    assert asker.wait(0.02) == [connect(TWO)]
    assert asker.reach(TWO) == [disconnect(ONE), Send(Link.META, TWO, QUESTION)]
    assert asker.receive(ANSWER, TWO) == FINISHED


def test_the_first_node_that_accepts_is_asked_and_no_other_one_meanwhile() -> None:
    asker = Asker()
    asker.wait(BESIDE)

    assert asker.reach(ONE) == [disconnect(TWO), Send(Link.META, ONE, QUESTION)]
    assert asker.reach(TWO) == []
    assert asker.wait(2 * BESIDE) == []
    assert asker.lose(ONE, "closed") == [connect(TWO)]
    assert asker.reach(TWO) == [Send(Link.META, TWO, QUESTION)]


def test_when_one_of_two_that_are_dialled_is_lost_the_other_has_its_time() -> None:
    asker = Asker(is_patient=False)
    asker.wait(BESIDE)

    assert asker.lose(TWO) == []
    assert asker.wait(TIMEOUT / 2) == [disconnect(ONE), *FINISHED]
    assert asker.core.findings.reasons == {TWO: "refused", ONE: "no answer"}
    assert not asker.core.findings.may_be_done


def test_an_address_that_was_given_twice_is_dialled_once() -> None:
    asker = Asker(ONE, ONE, is_patient=False)

    assert asker.core.statistics() == {"addresses_left": 0}
    assert asker.lose(ONE) == FINISHED


def test_without_patience_each_node_is_asked_once() -> None:
    asker = Asker(is_patient=False)
    asker.reach(ONE)

    assert asker.wait(TIMEOUT / 2 - 0.01) == []
    assert asker.wait(0.02) == [disconnect(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.lose(TWO, "closed") == FINISHED
    assert asker.core.findings.reasons == {ONE: "no answer", TWO: "closed"}
    assert asker.core.findings.may_be_done


def test_without_patience_not_ready_is_an_answer() -> None:
    asker = Asker(is_patient=False)
    asker.reach(ONE)

    assert asker.receive(NOT_READY) == FINISHED
    assert asker.core.answer == NOT_READY


def test_a_patient_core_goes_on_when_a_connection_is_lost() -> None:
    """It asks the next node the same question, and after a round the first node again."""
    asker = Asker()
    asker.reach(ONE)

    assert asker.lose(ONE, "closed") == [connect(TWO)]
    assert asker.lose(TWO) == []
    assert asker.wait(PAUSE) == [connect(ONE)]
    assert asker.reach(ONE) == [Send(Link.META, ONE, QUESTION)]
    assert asker.receive(ANSWER) == FINISHED


def test_a_patient_core_asks_again_after_not_ready() -> None:
    asker = Asker(ONE)
    asker.reach(ONE)

    assert asker.receive(NOT_READY) == [disconnect(ONE)]
    assert asker.wait(PAUSE) == [connect(ONE)]
    assert asker.reach(ONE) == [Send(Link.META, ONE, QUESTION)]
    assert asker.receive(ANSWER) == FINISHED
    assert asker.core.answer == ANSWER


def test_a_silent_node_is_left_and_tried_again_even_if_it_is_the_only_one() -> None:
    asker = Asker(ONE)
    asker.reach(ONE)

    assert asker.wait(2.49) == []
    assert asker.wait(0.02) == [disconnect(ONE)]
    assert asker.wait(PAUSE) == [connect(ONE)]


def test_after_its_timeout_a_patient_core_returns_the_last_refusal() -> None:
    asker = Asker(ONE)
    ends_at = asker.now + TIMEOUT
    effects: list[Effect] = []
    while effects[-1:] != FINISHED:
        assert asker.now < ends_at
        asker.reach(ONE)
        asker.now += 0.5
        effects = asker.receive(NOT_READY)
        asker.wait(PAUSE)

    assert asker.core.answer == NOT_READY
    assert ends_at - 2 * (0.5 + PAUSE) < asker.now


def test_without_any_answer_it_ends_at_its_timeout() -> None:
    asker = Asker()
    asker.reach(ONE)
    ends_at = asker.now + TIMEOUT

    assert asker.wait(TIMEOUT) == [disconnect(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.wait(TIMEOUT) == [disconnect(TWO), *FINISHED]

    assert asker.now == ends_at
    assert asker.core.answer is None
    assert asker.core.findings.may_be_done


def test_at_the_timeout_the_reason_of_an_earlier_round_is_kept() -> None:
    asker = Asker(ONE)
    asker.now += TIMEOUT - 5 * PAUSE
    asker.reach(ONE)
    asker.receive(not_leader(""))
    assert asker.wait(PAUSE) == [connect(ONE)]
    asker.reach(ONE)

    assert asker.wait(TIMEOUT) == [disconnect(ONE), *FINISHED]
    assert asker.core.findings.reasons == {ONE: "no leader"}


def test_no_round_starts_when_too_little_time_is_left_for_an_answer() -> None:
    """A round that ends before its answer would leave open whether the change was made."""
    asker = Asker(ONE)
    asker.now += TIMEOUT - 2 * PAUSE
    asker.reach(ONE)

    assert asker.receive(not_leader("")) == [disconnect(ONE), *FINISHED]
    assert not asker.core.findings.may_be_done
    assert asker.core.findings.no_leader == "no leader"


@pytest.mark.parametrize("is_patient", [False, True])
def test_it_follows_a_redirect_to_the_leader(*, is_patient: bool) -> None:
    asker = Asker(is_patient=is_patient)
    asker.reach(ONE)

    assert asker.receive(not_leader(LEADER)) == [disconnect(ONE), connect(LEADER)]
    assert asker.reach(LEADER) == [Send(Link.META, LEADER, QUESTION)]
    assert asker.receive(ANSWER, LEADER) == FINISHED


def test_without_a_leader_the_next_node_is_asked_and_later_all_nodes_again() -> None:
    asker = Asker()
    asker.reach(ONE)

    assert asker.receive(not_leader("")) == [disconnect(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.receive(not_leader(""), TWO) == [disconnect(TWO)]
    assert asker.wait(PAUSE) == [connect(ONE)]


def test_after_the_leader_was_killed_it_asks_until_there_is_another_leader() -> None:
    asker = Asker()
    asker.reach(ONE)
    asker.receive(not_leader(LEADER))

    assert asker.lose(LEADER) == [connect(TWO)]
    assert asker.lose(TWO) == []
    asker.wait(PAUSE)
    asker.reach(ONE)
    assert asker.receive(not_leader(TWO)) == [disconnect(ONE), connect(TWO)]


@pytest.mark.parametrize("is_patient", [False, True])
def test_it_stops_following_redirects_that_go_in_a_circle(*, is_patient: bool) -> None:
    asker = Asker(ONE, is_patient=is_patient)
    here, there = ONE, LEADER
    for _ in range(3):
        asker.reach(here)
        assert asker.receive(not_leader(there), here) == [disconnect(here), connect(there)]
        here, there = there, here
    asker.reach(here)

    assert asker.receive(not_leader(there), here) == [
        disconnect(here),
        *([] if is_patient else FINISHED),
    ]


def test_without_a_leader_nothing_was_done_and_the_reason_is_kept() -> None:
    asker = Asker(is_patient=False)
    asker.reach(ONE)
    asker.receive(not_leader(""))

    assert asker.lose(TWO) == FINISHED
    assert not asker.core.findings.may_be_done
    assert asker.core.findings.no_leader == "no leader"


def test_a_node_of_another_cluster_ends_it_at_once_with_the_reason() -> None:
    asker = Asker(ONE)
    asker.reach(ONE)

    assert asker.notify(PeerIncompatible(Link.META, ONE, "it is of cluster 'x'")) == [
        disconnect(ONE),
        *FINISHED,
    ]
    assert asker.core.findings.reasons == {ONE: "it is of cluster 'x'"}
    assert not asker.core.findings.may_be_done


def test_a_definite_refusal_is_an_answer() -> None:
    asker = Asker()
    asker.reach(ONE)
    refused = Refused(1, VersionMismatchError.code, "a is at version 9")

    assert asker.receive(refused) == FINISHED
    assert asker.core.answer == refused


@pytest.mark.parametrize("is_patient", [False, True])
def test_a_node_of_another_role_is_passed_over(*, is_patient: bool) -> None:
    asker = Asker(is_patient=is_patient)
    asker.reach(ONE)
    refused = Refused(1, UnknownMessageError.code, "a data node does not take that")

    assert asker.receive(refused) == [disconnect(ONE), connect(TWO)]
    asker.reach(TWO)
    assert asker.receive(ANSWER, TWO) == FINISHED
    assert asker.core.answer == ANSWER


@pytest.mark.parametrize("is_patient", [False, True])
def test_if_all_nodes_are_of_another_role_the_last_one_says_so(*, is_patient: bool) -> None:
    asker = Asker(ONE, is_patient=is_patient)
    asker.reach(ONE)
    refused = Refused(1, UnknownMessageError.code, "a data node does not take that")

    assert asker.receive(refused) == [disconnect(ONE), *FINISHED]
    assert asker.core.answer == replace(refused, detail="one:1: a data node does not take that")
    assert not asker.core.findings.may_be_done


def test_messages_of_other_nodes_and_of_earlier_attempts_are_ignored() -> None:
    asker = Asker()
    asker.reach(ONE)
    asker.lose(ONE)

    assert asker.receive(NOT_READY) == []
    assert asker.receive(Refused(7, NotReadyError.code), TWO) == []
    assert asker.lose(ONE) == []
    assert asker.reach(ONE) == []
    assert asker.notify(PeerSlow(Link.META, TWO)) == []
    assert asker.receive(Pong(), TWO) == []
    assert asker.receive(Ping(), TWO) == [Send(Link.META, TWO, Pong())]
    assert asker.core.settle(asker.now) == []
    assert asker.core.statistics() == {"addresses_left": 0}


def test_a_name_that_is_still_looked_up_is_named_as_the_reason() -> None:
    asker = Asker(ONE, is_patient=False)
    asker.notify(PeerDelayed(Link.META, ONE, "one is still being looked up"))

    asker.wait(TIMEOUT)

    assert asker.core.findings.reasons == {ONE: "one is still being looked up"}
