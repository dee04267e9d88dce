"""What the standing of a session or data node with meta means for its health."""

from zreg.health import Harm, Problem
from zreg.membership.enrolment import Enrolment
from zreg.model import Status

_COMES_AND_GOES = (
    "this node departed more than twice in ten minutes, so meta lets it take part only after a "
    "wait of at most a minute: see why it ended"
)


def membership_problems(
    enrolment: Enrolment, now: float, *, goes_on: str, unseated: Harm
) -> list[Problem]:
    """Return what is the matter between this node and meta.

    `goes_on` says what is done without meta; `unseated` how far it goes that meta has not let this
    node in, although it knows a membership.
    """
    found = [*_seat_problems(enrolment, unseated)]
    is_out = enrolment.incarnation is None
    if (away := enrolment.absence.problem(now, goes_on, is_due=is_out)) is not None:
        found.append(away)
    return found


def _seat_problems(enrolment: Enrolment, unseated: Harm) -> list[Problem]:
    membership, incarnation = enrolment.membership, enrolment.incarnation
    if membership.epoch == 0:
        detail = (
            "meta has not let this node in yet, and it knows of no other node: start meta, or "
            "correct --meta"
        )
        return [Problem("not-admitted", detail, Harm.STOPS_WORK)]
    if incarnation is None:
        what = "meta has not let this node in (again) yet: it is asked; if this stays, see the log"
        if enrolment.is_remembered:
            what = (
                "this node started from the membership on its disk and meta has not let it in yet: "
                "start meta, or correct --meta"
            )
        return [Problem("not-admitted", what, unseated)]
    member = membership.living(incarnation.node_id)
    if member is not None and member.status is Status.WORKING:
        return []
    if member is not None and member.status is Status.INITIAL:
        return [Problem("waiting", _COMES_AND_GOES, Harm.STOPS_WORK)]
    detail = "this node is on its way out of the membership: it hands over what it has"
    return [Problem("leaving", detail, Harm.STOPS_WORK)]
