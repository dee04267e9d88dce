"""Which INITIAL members become WORKING only after they have reported that they are ready.

This is agreed by Raft and not in the membership: only meta needs it, and a new leader must know it.
"""

from zreg.meta.state.applied import Applied
from zreg.model import Incarnation, Membership, Status
from zreg.wire.log_commands import Admit, AnyCommand

Reporters = frozenset[Incarnation]


def reporters_after(
    reporters: Reporters, membership: Membership, command: AnyCommand, applied: Applied
) -> Reporters:
    """Return the members that have to report, after a command that led to this membership."""
    is_admitted = isinstance(command, Admit) and command.reports_ready and applied.is_changed
    if is_admitted and applied.member is not None:
        reporters |= {applied.member.incarnation}
    if not reporters:
        return reporters
    return reporters & {m.incarnation for m in membership.members if m.status is Status.INITIAL}
