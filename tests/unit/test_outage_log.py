"""What the log says of an outage of the leader: at once, on a new reason, and once a minute."""

from zreg.effects import INFO, WARNING, Log
from zreg.errors import LimitError
from zreg.membership.leader_link.leader_outage import LeaderOutage
from zreg.membership.leader_link.outage_log import OutageLog

ONE, TWO = "tcp://meta-1:9610", "tcp://meta-2:9610"


class Outage:
    """An outage with its log."""

    def __init__(self) -> None:
        self.outage = LeaderOutage(0.0)
        self.log = OutageLog(self.outage)

    def lose(self, now: float, reason: str = "refused", address: str = ONE) -> list[Log]:
        self.outage.note_failure(address, reason, now)
        return self.log.lost(now, is_round_over=True)

    def end(self) -> list[Log]:
        self.outage.end()
        return self.log.end()

    def refuse(self, now: float) -> list[Log]:
        self.outage.note_answer(ONE, "full", now)
        return self.log.refused(LimitError.code, "full", now)


def test_one_reason_is_logged_once_and_then_once_a_minute() -> None:
    outage = Outage()
    times = [now / 2 for now in range(361)]

    assert [now for now in times if outage.lose(now)] == [0.0, 60.0, 120.0, 180.0]


def test_a_new_reason_is_logged_at_most_every_five_seconds() -> None:
    outage = Outage()
    assert outage.lose(0.0)

    times = [now / 2 for now in range(1, 41)]

    assert [now for now in times if outage.lose(now, f"reason {now}")] == [5.0, 10.0, 15.0, 20.0]


def test_a_reason_counts_as_new_only_when_all_addresses_were_tried() -> None:
    outage = Outage()
    outage.lose(0.0)
    outage.outage.note_failure(TWO, "refused", 9.0)

    assert outage.log.lost(10.0, is_round_over=False) == []
    (line,) = outage.log.lost(11.0, is_round_over=True)
    assert line.fields["reason"] == "meta-1:9610: refused; meta-2:9610: refused"


def test_the_end_is_logged_if_the_loss_was_and_the_next_loss_again() -> None:
    outage = Outage()
    assert outage.end() == []
    outage.lose(0.0)

    assert outage.end() == [Log(INFO, "meta.connection.restored", {})]
    assert outage.end() == []
    assert outage.lose(0.1)


def test_a_refusal_is_logged_like_a_loss_but_its_end_is_not() -> None:
    outage = Outage()

    assert outage.refuse(0.0) == [
        Log(WARNING, "meta.refused", {"code": LimitError.code, "detail": "full"})
    ]
    assert outage.refuse(1.0) == []
    assert outage.end() == []


def test_a_name_that_does_not_resolve_has_its_own_advice() -> None:
    (line,) = Outage().lose(0.0, "meta-1 does not resolve: Name or service not known")

    assert (
        line.fields["detail"] == "correct the name in --meta, or the name service of this machine"
    )
