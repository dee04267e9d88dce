"""What meta nodes agree on: members and settings, as a state machine without clock or chance.

Each command that changes something raises the one epoch by one. A command that changes nothing (a
repeated join, the departure of an incarnation that is gone) leaves the epoch as it is. All meta
nodes apply the same commands in the same order, so they have the same state at the same entry.
"""

from msgspec.structs import replace

from zreg.meta.state.applied import Applied
from zreg.meta.state.losses import Losses, losses_after
from zreg.meta.state.member_commands import apply_to_members
from zreg.meta.state.membership_history import MembershipHistory
from zreg.meta.state.reporters import Reporters, reporters_after
from zreg.meta.state.settings_table import SettingsTable
from zreg.model import EMPTY_MEMBERSHIP
from zreg.wire.log_commands import (
    AnyCommand,
    ChangeSetting,
    MetaImage,
    decode_image,
    encode_image,
)


class MetaState:
    """Membership and settings at one entry of the log."""

    def __init__(self) -> None:
        self.membership = EMPTY_MEMBERSHIP
        self.settings = SettingsTable()
        self.reporters: Reporters = frozenset()
        self.losses: Losses = ()
        # Not agreed either: what has an epoch up to this one happened before this process could
        # note when. It was in its journal, or in a snapshot.
        self.inherited_epoch = 0
        # Not part of the agreed state: each node records steps from when it began to apply.
        self.history = MembershipHistory()

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        members, settings = len(self.membership.members), len(self.settings)
        return f"<MetaState epoch={self.epoch} members={members} settings={settings}>"

    @property
    def epoch(self) -> int:
        """The number of the last change."""
        return self.membership.epoch

    @property
    def is_founded(self) -> bool:
        """Whether the cluster has begun."""
        return self.epoch > 0

    def apply(self, command: AnyCommand) -> Applied:
        """Apply one command; return what it did."""
        former = self.membership
        if isinstance(command, ChangeSetting):
            applied = self.settings.change(command, self.epoch)
            if applied.is_changed:
                self.membership = replace(former, epoch=former.epoch + 1)
        else:
            self.membership, applied = apply_to_members(former, command)
            after = (self.membership, command, applied)
            self.reporters = reporters_after(self.reporters, *after)
            self.losses = losses_after(self.losses, former, *after)
        self.history.note(former, self.membership)
        return applied

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        image = MetaImage(
            self.membership,
            self.settings.all(),
            self.settings.outcomes(),
            tuple(sorted(self.reporters)),
            self.losses,
        )
        return encode_image(image)

    def restore(self, data: bytes) -> None:
        """Replace the state by one that `snapshot` returned."""
        image = decode_image(data)
        self.membership = image.membership
        self.settings = SettingsTable(image.settings, image.outcomes)
        self.reporters = frozenset(image.reporters)
        self.losses = image.losses
        self.inherited_epoch = image.membership.epoch
        self.history.clear()
