"""What a node's log is told while meta is away: at once, when it is another thing, and rarely."""

from zreg.effects import INFO, WARNING, Log
from zreg.errors import LimitError
from zreg.membership.leader_outage import LeaderOutage

ONE, TWO = "tcp://meta-1:9610", "tcp://meta-2:9610"


def lost(away: LeaderOutage, now: float, reason: str = "refused", address: str = ONE) -> list[Log]:
    away.note(address, reason, now)
    return away.tell_lost(now, is_round_over=True)


def test_the_same_reason_is_told_once_and_then_once_a_minute() -> None:
    away = LeaderOutage(0.0)
    times = [now / 2 for now in range(361)]

    told = [now for now in times if lost(away, now)]

    assert told == [0.0, 60.0, 120.0, 180.0]


def test_another_reason_is_told_but_not_more_often_than_every_five_seconds() -> None:
    away = LeaderOutage(0.0)
    assert lost(away, 0.0)
    told = [now / 2 for now in range(1, 41) if lost(away, now / 2, f"reason {now}")]

    assert told == [5.0, 10.0, 15.0, 20.0]


def test_what_was_not_tried_in_this_round_is_no_news() -> None:
    away = LeaderOutage(0.0)
    lost(away, 0.0)
    away.note(TWO, "refused", 9.0)

    assert away.tell_lost(10.0, is_round_over=False) == []
    (line,) = away.tell_lost(11.0, is_round_over=True)
    assert line.fields["reason"] == "meta-1:9610: refused; meta-2:9610: refused"


def test_what_meta_nodes_say_tells_more_than_who_is_not_reached() -> None:
    away = LeaderOutage(0.0)
    away.note(ONE, "refused", 0.0)
    away.note(TWO, "meta has no leader", 0.0, is_answer=True)
    assert away.reasons == "meta-2:9610: meta has no leader"

    away.note(TWO, "", 0.0)

    assert away.reasons == "meta-1:9610: refused; meta-2:9610: lost"
    assert repr(away) == "<LeaderOutage 'meta-1:9610: refused; meta-2:9610: lost'>"


def test_it_remembers_so_many_addresses_and_no_more() -> None:
    away = LeaderOutage(0.0)
    for number in range(100):
        away.note(f"tcp://meta-{number}:9610", "refused", 0.0)

    assert away.reasons.count("refused") == 16
    assert "meta-99:9610" in away.reasons
    assert "meta-83:9610" not in away.reasons


def test_the_end_is_told_if_the_loss_was_and_the_next_loss_again() -> None:
    away = LeaderOutage(0.0)
    assert away.end() == []
    lost(away, 0.0)

    assert away.end() == [Log(INFO, "meta.connection.restored", {})]
    assert away.end() == []
    assert away.reasons == ""
    assert lost(away, 0.1)


def test_a_refusal_is_told_like_a_loss_but_its_end_is_not() -> None:
    away = LeaderOutage(0.0)

    assert away.refused(ONE, LimitError.code, "full", 0.0) == [
        Log(WARNING, "meta.refused", {"code": LimitError.code, "detail": "full"})
    ]
    assert away.refused(ONE, LimitError.code, "full", 1.0) == []
    assert away.end() == []
