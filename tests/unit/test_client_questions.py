"""Questions of the application: answered, refused or given up."""

import math

from client_fakes import WELCOME, connected, hear, local, make_core, replayed, say

from zreg.client.core.commands import Answered, Ask, AskRefused, DropQuestion, Unanswered
from zreg.effects import Emit, Link, PeerUp
from zreg.errors import DeniedError, LimitError, NotReadyError
from zreg.model import EMPTY_MEMBERSHIP
from zreg.wire.records.client_messages import ReplayDone
from zreg.wire.records.common_messages import Ping, Refused
from zreg.wire.records.data_messages import DatumsListed, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply


def test_a_question_is_passed_to_the_session_and_its_answer_to_the_api() -> None:
    core = connected()

    assert local(core, Ask(5, ListDatums(0, "*"), 2.0)) == [say(ListDatums(1, "*"))]
    answer = DatumsListed(1, ())
    assert hear(core, answer) == [Emit(Answered(5, answer))]
    assert hear(core, answer) == []
    assert hear(core, MembershipReply(9, EMPTY_MEMBERSHIP)) == []

    assert local(core, Ask(6, FetchSettings(0, "a"), 2.0)) == [say(FetchSettings(2, "a"))]
    settings = SettingsReply(2, ())
    assert hear(core, settings) == [Emit(Answered(6, settings))]


def test_a_question_waits_for_a_session_and_is_given_up_at_its_deadline() -> None:
    core = make_core()
    core.start(0.0)
    assert local(core, Ask(5, FetchMembership(0), 0.5)) == []
    assert core.next_tick_at() == 0.2
    local(core, PeerUp(Link.SESSION, "session-1"))
    assert replayed(hear(core, WELCOME)) == [say(ReplayDone()), say(FetchMembership(1))]

    assert core.tick(0.5) == [Emit(Unanswered(5))]
    assert hear(core, Refused(1, DeniedError.code, "late")) == []


def test_a_question_that_is_refused_for_now_is_repeated_and_a_final_refusal_is_told() -> None:
    core = connected()
    local(core, Ask(5, FetchMembership(0), 9.0))

    assert hear(core, Refused(1, NotReadyError.code, "later")) == []
    assert core.tick(1.0) == [
        say(FetchMembership(1)),
        say(Ping()),
    ]
    assert hear(core, Refused(1, DeniedError.code, "never"), 1.0) == [
        Emit(AskRefused(5, DeniedError.code, "never"))
    ]
    assert core.statistics()["asks"] == 0


def test_the_number_of_open_questions_is_limited() -> None:
    core = make_core()
    for ask_id in range(1024):
        assert local(core, Ask(ask_id, FetchMembership(0), 1.0)) == []

    (effect,) = local(core, Ask(1024, FetchMembership(0), 1.0))

    assert isinstance(effect, Emit)
    assert isinstance(effect.event, AskRefused)
    assert (effect.event.ask_id, effect.event.code) == (1024, LimitError.code)


def test_a_question_that_is_dropped_is_asked_no_more_and_its_answer_is_ignored() -> None:
    core = connected()
    local(core, Ask(5, FetchMembership(0), math.inf))

    assert local(core, DropQuestion(5)) == []
    assert local(core, DropQuestion(5)) == []
    assert core.statistics()["asks"] == 0
    assert hear(core, MembershipReply(1, EMPTY_MEMBERSHIP)) == []
    assert core.tick(1.0) == [say(Ping())], "nothing is repeated"
