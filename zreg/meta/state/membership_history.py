"""The last changes of the members, so that a node can catch up from its epoch.

Each meta node records the steps as it applies them; they are not in its snapshot. Each answer has
a digest of the members, which lets the node that applies it notice that it started from a different
membership of the same epoch.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.membership.following.changes import members_digest
from zreg.model import Incarnation, Member, Membership, Version
from zreg.primitives.op_log import OpLog
from zreg.wire.records.membership_messages import FetchMembership, MembershipChanges

STEPS_MAX: Final = 256
# Members in all steps together; about 100 bytes each.
ITEMS_MAX: Final = 512


class MembershipStep(msgspec.Struct, frozen=True):
    """One change of the members, from the version of the last change to its own.

    Versions have the epoch of the change, and no counter. Setting changes leave the members
    untouched and are no steps: every epoch up to `source_epoch_max` has the members of
    `source_version`.
    """

    source_version: Version
    version: Version
    source_epoch_max: int
    upserts: tuple[Member, ...] = ()
    removals: tuple[Incarnation, ...] = ()

    @property
    def size(self) -> int:
        """How many members it names."""
        return len(self.upserts) + len(self.removals)


class MembershipHistory:
    """The bounded, gap-free tail of the changes of the members, oldest first.

    `_start` is the version from which the steps lead to the present members without a gap.
    """

    def __init__(self) -> None:
        self._log: OpLog[MembershipStep] = OpLog()
        self._start: Version | None = None
        self._item_count = 0
        # Answers at the present epoch, by the version that they start from: many nodes ask alike.
        self._answers: dict[Version, MembershipChanges | None] = {}
        self._digest: int | None = None

    def __len__(self) -> int:
        """Return how many steps are recorded."""
        return len(self._log)

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
        if self._start is None:
            self._start = Version(former.epoch, 0)
        is_leap = present.epoch > former.epoch + 1
        if present.members is former.members and not is_leap:
            return
        self._append(former, present)

    def _append(self, former: Membership, present: Membership) -> None:
        source_version = self._end()
        assert source_version is not None
        upserts, removals = _difference(former, present)
        version = Version(present.epoch, 0)
        step = MembershipStep(source_version, version, former.epoch, upserts, removals)
        self._log.append(step, 0.0)
        self._item_count += step.size
        while len(self._log) > STEPS_MAX or self._item_count > ITEMS_MAX:
            self._drop_oldest()

    def _end(self) -> Version | None:
        """Return the version of the last step, or the start if there is none."""
        newest = self._log.newest()
        return self._start if newest is None else newest.version

    def _drop_oldest(self) -> None:
        dropped = self._log.pop_oldest()
        self._start = dropped.version
        self._item_count -= dropped.size

    def clear(self) -> None:
        """Drop all steps: the next membership does not follow from the last one."""
        self._log.clear()
        self._start = None
        self._item_count = 0
        self._forget_answers()

    def answer(self, request: FetchMembership, present: Membership) -> MembershipChanges | None:
        """Return what changed since the epoch of a request; None: send the whole membership."""
        epoch = request.epoch
        if not epoch or request.cluster_id != present.cluster_id or epoch >= present.epoch:
            return None
        version = self._source_of(epoch)
        if version is None:
            return None
        if version not in self._answers:
            self._answers[version] = self._changes(version, present)
        changes = self._answers[version]
        if changes is None:
            return None
        return replace(changes, request_id=request.request_id, source_epoch=epoch)

    def _source_of(self, epoch: int) -> Version | None:
        """Return the version of the members at an epoch; None if the history does not know it."""
        if self._start is None or epoch < self._start.epoch:
            return None
        version = self._log.floor(Version(epoch, 0)) or self._start
        steps = self._log.since(version) or []
        is_skipped = bool(steps) and epoch > steps[0].source_epoch_max
        return None if is_skipped else version

    def _changes(self, version: Version, present: Membership) -> MembershipChanges | None:
        touched: dict[Incarnation, Member | None] = {}
        for step in self._log.since(version) or []:
            touched.update((member.incarnation, member) for member in step.upserts)
            touched.update(dict.fromkeys(step.removals))
        if len(touched) >= len(present.members):
            return None
        if self._digest is None:
            self._digest = members_digest(present.members)
        return MembershipChanges(
            0,
            present.cluster_id,
            version.epoch,
            present.epoch,
            present.ring_epoch,
            tuple(member for member in touched.values() if member is not None),
            tuple(gone for gone, member in touched.items() if member is None),
            self._digest,
        )

    def _forget_answers(self) -> None:
        self._answers.clear()
        self._digest = None


def _difference(
    former: Membership, present: Membership
) -> tuple[tuple[Member, ...], tuple[Incarnation, ...]]:
    """Return the members that are new or changed, and those that are gone."""
    if present.members is former.members:
        return (), ()
    # Comparing identities is fast. An equal member in another object is sent without need.
    before, after = set(map(id, former.members)), set(map(id, present.members))
    upserts = tuple(member for member in present.members if id(member) not in before)
    changed = {member.incarnation for member in upserts}
    gone = (member.incarnation for member in former.members if id(member) not in after)
    return upserts, tuple(incarnation for incarnation in gone if incarnation not in changed)
