"""What is the matter with a data node."""

from typing import Final

from zreg.health import Harm, Health
from zreg.membership.enrolment import Enrolment
from zreg.membership.problems import membership_problems

_GOES_ON: Final = (
    "it takes and answers what it owns as before; no node joins or departs, nothing is evicted"
)
_GOES_ON_UNSEATED: Final = "it holds nothing and serves nobody"


def health_of(enrolment: Enrolment, now: float) -> Health:
    """Return the health of a data node; it has work to do while it is a WORKING member."""
    goes_on = _GOES_ON if enrolment.incarnation is not None else _GOES_ON_UNSEATED
    found = membership_problems(enrolment, now, goes_on=goes_on, unseated=Harm.STOPS_WORK)
    return Health(tuple(found))
