"""The last steps of the membership, so that a node can catch up from its epoch with the changes.

Each meta node records the steps as it applies them; they are not in its snapshot. Each answer has
a digest of the members, which lets the node that applies it notice that it started from a different
membership of the same epoch.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.membership.changes import members_digest
from zreg.model import Incarnation, Member, Membership
from zreg.wire.membership_messages import FetchMembership, MembershipChanges

STEPS_MAX: Final = 256
# Members in all steps together; about 100 bytes each.
ITEMS_MAX: Final = 512


class _Step(msgspec.Struct):
    """What one change did to the members; or a run of setting changes, which did nothing."""

    source_epoch: int
    epoch: int
    upserts: tuple[Member, ...] = ()
    removals: tuple[Incarnation, ...] = ()
    # Several changes of settings in a row are one step; nodes may be at any epoch of it.
    is_run: bool = False

    @property
    def size(self) -> int:
        return len(self.upserts) + len(self.removals)

    def begins_at(self, epoch: int) -> bool:
        is_within = self.is_run and self.source_epoch < epoch < self.epoch
        return is_within or epoch == self.source_epoch


class MembershipHistory:
    """The bounded, gap-free tail of the membership's steps, oldest first."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._item_count = 0
        # Answers at the present epoch, by the epoch from which they lead: many nodes ask the same.
        self._answers: dict[int, MembershipChanges | None] = {}
        self._digest: int | None = None

    def __len__(self) -> int:
        """Return how many steps are recorded."""
        return len(self._steps)

    def __repr__(self) -> str:
        """Show sizes."""
        return f"<MembershipHistory steps={len(self)} items={self._item_count}>"

    def note(self, former: Membership, present: Membership) -> None:
        """Record the step between two memberships; clear if cluster or ring differ."""
        if present is former:
            return
        self._forget_answers()
        if (present.cluster_id, present.ring) != (former.cluster_id, former.ring):
            self.clear()
            return
        assert present.epoch > former.epoch
        last = self._steps[-1] if self._steps else None
        assert last is None or last.epoch == former.epoch
        step = _step(former, present)
        if last is not None and last.is_run and step.is_run:
            # Setting changes must not push changes of members out of the history.
            last.epoch = step.epoch
            return
        self._steps.append(step)
        self._item_count += step.size
        while len(self._steps) > STEPS_MAX or self._item_count > ITEMS_MAX:
            self._item_count -= self._steps.popleft().size

    def clear(self) -> None:
        """Drop all steps: the next membership does not follow from the last one."""
        self._steps.clear()
        self._item_count = 0
        self._forget_answers()

    def answer(self, request: FetchMembership, present: Membership) -> MembershipChanges | None:
        """Return what changed since the epoch of a request; None: send the whole membership."""
        epoch = request.epoch
        if not epoch or request.cluster_id != present.cluster_id or epoch == present.epoch:
            return None
        step = next((step for step in self._steps if step.begins_at(epoch)), None)
        if step is None:
            return None
        # Setting changes leave the members untouched: every epoch in the run gets the same answer.
        source_epoch = step.source_epoch
        if source_epoch not in self._answers:
            self._answers[source_epoch] = self._changes(source_epoch, present)
        changes = self._answers[source_epoch]
        if changes is None:
            return None
        return replace(changes, request_id=request.request_id, source_epoch=epoch)

    def _changes(self, epoch: int, present: Membership) -> MembershipChanges | None:
        touched: dict[Incarnation, Member | None] = {}
        for step in self._since(epoch):
            touched.update((member.incarnation, member) for member in step.upserts)
            touched.update(dict.fromkeys(step.removals))
        if len(touched) >= len(present.members):
            return None
        if self._digest is None:
            self._digest = members_digest(present.members)
        return MembershipChanges(
            0,
            present.cluster_id,
            epoch,
            present.epoch,
            present.ring_epoch,
            tuple(member for member in touched.values() if member is not None),
            tuple(gone for gone, member in touched.items() if member is None),
            self._digest,
        )

    def _since(self, epoch: int) -> Iterator[_Step]:
        return (step for step in self._steps if step.source_epoch >= epoch)

    def _forget_answers(self) -> None:
        self._answers.clear()
        self._digest = None


def _step(former: Membership, present: Membership) -> _Step:
    if present.members is former.members:
        return _Step(former.epoch, present.epoch, is_run=present.epoch == former.epoch + 1)
    # Comparing identities is fast. An equal member in another object is sent without need.
    before, after = set(map(id, former.members)), set(map(id, present.members))
    upserts = tuple(member for member in present.members if id(member) not in before)
    changed = {member.incarnation for member in upserts}
    gone = (member.incarnation for member in former.members if id(member) not in after)
    removals = tuple(incarnation for incarnation in gone if incarnation not in changed)
    return _Step(former.epoch, present.epoch, upserts, removals)
