"""The last steps of the membership, so that a node can catch up from its epoch without the whole.

Each node of meta keeps them as it applies; they are not in its snapshot. Two lives of a cluster
may have come to the same epoch (a lone meta without a disk forgets): the digest in each answer
shows that to whoever applies it.
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
    """What one change did to the members, or that a row of changes did nothing to them."""

    source_epoch: int
    epoch: int
    upserts: tuple[Member, ...] = ()
    removals: tuple[Incarnation, ...] = ()
    # Changes of settings, one after the other: each epoch in between was somebody's.
    is_row: bool = False

    @property
    def size(self) -> int:
        return len(self.upserts) + len(self.removals)

    def begins_at(self, epoch: int) -> bool:
        is_within = self.is_row and self.source_epoch < epoch < self.epoch
        return is_within or epoch == self.source_epoch


class MembershipHistory:
    """The bounded, gap-free tail of the membership's steps, oldest first."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._item_count = 0
        # Of the present epoch, by the step they begin with: many nodes ask after one change.
        self._answers: dict[int, MembershipChanges | None] = {}
        self._digest: int | None = None

    def __len__(self) -> int:
        """Return how many steps are kept."""
        return len(self._steps)

    def __repr__(self) -> str:
        """Show sizes."""
        return f"<MembershipHistory steps={len(self)} items={self._item_count}>"

    def note(self, former: Membership, present: Membership) -> None:
        """Take the step between two memberships; another cluster or ring begins anew."""
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
        if last is not None and last.is_row and step.is_row:
            # However many settings change, they push out no change of members.
            last.epoch = step.epoch
            return
        self._steps.append(step)
        self._item_count += step.size
        while len(self._steps) > STEPS_MAX or self._item_count > ITEMS_MAX:
            self._item_count -= self._steps.popleft().size

    def clear(self) -> None:
        """Drop everything: what comes next does not follow on what is here."""
        self._steps.clear()
        self._item_count = 0
        self._forget_answers()

    def answer(self, request: FetchMembership, present: Membership) -> MembershipChanges | None:
        """Return what came after the epoch that is asked from; None: the whole is the answer."""
        epoch = request.epoch
        if not epoch or request.cluster_id != present.cluster_id or epoch == present.epoch:
            return None
        step = next((step for step in self._steps if step.begins_at(epoch)), None)
        if step is None:
            return None
        # A row did nothing to the members: from each of its epochs the same is to be learnt.
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
        return _Step(former.epoch, present.epoch, is_row=present.epoch == former.epoch + 1)
    # By identity, which is fast: who is the same in another object is only sent for nothing.
    before, after = set(map(id, former.members)), set(map(id, present.members))
    upserts = tuple(member for member in present.members if id(member) not in before)
    changed = {member.incarnation for member in upserts}
    gone = (member.incarnation for member in former.members if id(member) not in after)
    removals = tuple(incarnation for incarnation in gone if incarnation not in changed)
    return _Step(former.epoch, present.epoch, upserts, removals)
