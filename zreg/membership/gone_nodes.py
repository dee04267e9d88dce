"""What a lost node means: the sentences and problems that health and `zreg nodes` show."""

from collections.abc import Sequence
from typing import Final

from zreg.health import Problem, some
from zreg.model import Membership, Role
from zreg.wire.records.membership_messages import GoneNode

WHY_GONE: Final = {
    "gone": "its process ended and nothing listens at its address",
    "silent": "it was silent for a lease: it hangs, or its machine or network failed",
}
_STILL_WORKS: Final = {
    Role.SESSION: "its clients go on at other sessions",
    Role.DATA: "other data nodes have taken over its ids",
    Role.META: "the other meta nodes go on",
}
_SHOWN_MAX: Final = 3
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def span_text(milliseconds: int) -> str:
    """Return a span of time for people, in its largest unit: 40 s, 3 min, 2 h, 5 d."""
    seconds = milliseconds // 1000
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def gone_text(gone: GoneNode) -> str:
    """Return what happened to a lost node and when, for people."""
    bound = "at least " if gone.is_at_least else ""
    ago = span_text(gone.milliseconds_ago)
    lived = span_text(gone.milliseconds_lived)
    why = WHY_GONE.get(gone.reason, gone.reason)
    times = f" (lost {gone.count} times)" if gone.count > 1 else ""
    place = f"{gone.role.name.lower()}, {gone.address.removeprefix('tcp://')}"
    return (
        f"{gone.incarnation.node_id} ({place}) has been gone for {bound}{ago}{times}, after "
        f"{bound}{lived}: {why}"
    )


def gone_problems(gone: Sequence[GoneNode], membership: Membership) -> list[Problem]:
    """Return the problems of the cluster that come from lost nodes, which every node shows."""
    if not gone:
        return []
    told = "; ".join(map(gone_text, gone[:_SHOWN_MAX]))
    if len(gone) > _SHOWN_MAX:
        told += f"; also gone: {some([each.incarnation.node_id for each in gone[_SHOWN_MAX:]])}"
    roles = sorted({each.role for each in gone})
    works = "; ".join(_STILL_WORKS[role] for role in roles)
    first = gone[0].incarnation.node_id
    detail = (
        f"{told}. Meanwhile {works}. Start it again, or another one in its place; if it is not to "
        f"come back: `zreg nodes dismiss {first}`"
    )
    return [Problem("node-gone", detail), *_copy_problems(gone, membership)]


def _copy_problems(gone: Sequence[GoneNode], membership: Membership) -> list[Problem]:
    """Return a problem if so many data nodes are gone that ids have fewer copies than before."""
    before = max((each.members_before for each in gone if each.role is Role.DATA), default=0)
    wanted = min(membership.ring.replica_count, before)
    present = min(membership.ring.replica_count, len(membership.of(Role.DATA)))
    if present >= wanted:
        return []
    detail = (
        f"copies {present} of {wanted}: each id has at most {present} of {wanted} copies, since "
        "data nodes are gone: registrations are accepted with fewer copies; start them again, or "
        "others, or ask for fewer copies with `zreg data replica-count`"
    )
    return [Problem("copies-missing", detail)]
