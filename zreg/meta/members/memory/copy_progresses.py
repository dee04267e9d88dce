"""How far each data node is with its copies, as it tells with its renewals; for people."""

from typing import Final, NamedTuple

from zreg.model import Incarnation, Membership, Role, Status
from zreg.wire.records.membership_messages import Renew
from zreg.wire.records.meta_messages import CopyProgress

_HOLDERS: Final = (Status.INITIAL, Status.WORKING, Status.LEAVING)


class _Told(NamedTuple):
    """What a data node told last, and the epoch of its membership then."""

    epoch: int
    equal_count: int
    kept_count: int | None


class CopyProgresses:
    """What each data node has told since this node leads."""

    def __init__(self) -> None:
        self._told: dict[Incarnation, _Told] = {}

    def begin(self) -> None:
        """Begin to lead: the data nodes tell again."""
        self._told.clear()

    def note(self, renew: Renew) -> None:
        """Take what a data node tells."""
        told = _Told(renew.epoch, renew.equal_copy_count, renew.kept_copy_count)
        self._told[renew.incarnation] = told

    def follow(self, membership: Membership) -> None:
        """Forget the data nodes that have departed."""
        living = {member.incarnation for member in membership.of(Role.DATA, *_HOLDERS)}
        for gone in self._told.keys() - living:
            del self._told[gone]

    def unfinished(self, membership: Membership) -> tuple[CopyProgress, ...]:
        """Return how far the data nodes are that have not made all their copies yet.

        A data node that has told nothing under the present ring may have made none.
        """
        found = []
        for member in membership.of(Role.DATA, *_HOLDERS):
            told = self._told.get(member.incarnation)
            has_told = told is not None and told.epoch >= membership.ring_epoch
            if told is None or told.kept_count is None or not has_told:
                found.append(CopyProgress(member.incarnation, 0, None))
            elif told.equal_count < told.kept_count:
                progress = told.equal_count, told.kept_count
                found.append(CopyProgress(member.incarnation, *progress))
        return tuple(found)
