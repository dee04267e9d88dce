"""What meta nodes agree on: members and settings, as a state machine without clock or chance.

Each command that changes something raises the one epoch by one; one that changes nothing (a
repeated join, the departure of somebody who is gone) leaves it. All nodes apply the same commands
in the same order, and so have the same state at the same entry.
"""

from fnmatch import fnmatchcase
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from zreg.config import Limits
from zreg.errors import LimitError, NodeIdInUseError, VersionMismatchError
from zreg.meta.members import membership_steps as steps
from zreg.meta.members.membership_history import MembershipHistory
from zreg.meta.setting_outcomes import SettingOutcomes
from zreg.model import EMPTY_MEMBERSHIP, Incarnation, Member, Role, Status
from zreg.wire.log_commands import (
    Admit,
    AdmitMeta,
    Adopt,
    AnyCommand,
    ChangeSetting,
    Depart,
    DropMeta,
    Forget,
    Found,
    MetaImage,
    Outcome,
    Raise,
    Recover,
    SetStatus,
    decode_image,
    encode_image,
)
from zreg.wire.settings_messages import Setting

_DONE: Final = ""
_REFUSED_BEFORE: Final = "this change was refused before: look, then make it anew"
# More than the epochs that could have been reached by nodes of meta that are lost.
RECOVERY_EPOCHS: Final = 1_000_000


class Applied(msgspec.Struct, frozen=True):
    """What became of one command: a refusal has a code and a sentence."""

    is_changed: bool = False
    code: int = 0
    detail: str = _DONE
    # The member that came or went by it.
    member: Member | None = None
    # The epoch at which a setting was changed, also where that was an earlier time it was asked.
    version: int = 0


class MetaState:
    """Membership and settings at one entry of the log."""

    def __init__(self) -> None:
        self.membership = EMPTY_MEMBERSHIP
        self._settings: dict[str, Setting] = {}
        self._outcomes = SettingOutcomes()
        # Not part of the state: each node has its own, from when it began to apply.
        self.history = MembershipHistory()

    def __repr__(self) -> str:
        """Show epoch and sizes."""
        members, settings = len(self.membership.members), len(self._settings)
        return f"<MetaState epoch={self.epoch} members={members} settings={settings}>"

    @property
    def epoch(self) -> int:
        """The number of the last change."""
        return self.membership.epoch

    @property
    def is_founded(self) -> bool:
        """Whether the cluster has begun."""
        return self.epoch > 0

    @property
    def setting_count(self) -> int:
        """How many settings there are."""
        return len(self._settings)

    # --- what people ask ---------------------------------------------------------------------

    def setting(self, name: str) -> Setting | None:
        """Return one setting."""
        return self._settings.get(name)

    def settings(
        self, pattern: str, after: str, count_max: int
    ) -> tuple[tuple[Setting, ...], bool]:
        """Return the next settings by name, and whether those are all that are left."""
        found = [
            setting
            for name, setting in sorted(self._settings.items())
            if name > after and fnmatchcase(name, pattern)
        ]
        return tuple(found[:count_max]), len(found) <= count_max

    # --- the machine -------------------------------------------------------------------------

    def apply(self, command: AnyCommand) -> Applied:
        """Take one command."""
        former = self.membership
        applied = self._carry_out(command)
        self.history.note(former, self.membership)
        return applied

    def _carry_out(self, command: AnyCommand) -> Applied:  # noqa: C901 -- a case per command
        match command:
            case ChangeSetting():
                return self._change_setting(command)
            case Found():
                return self._found(command)
            case AdmitMeta():
                return self._admit_meta(command.member)
            case Admit():
                return self._admit(command)
            case SetStatus():
                return self._set_status(command)
            case Depart():
                return self._depart(command.incarnation)
            case Forget():
                return self._forget(command.incarnation)
            case Raise():
                return self._raise(command.epoch)
            case Adopt():
                self.membership = steps.adopted(self.membership, command.membership)
                return Applied(is_changed=True)
            case DropMeta():
                return self._drop_meta(command.node_id)
            case Recover():
                # A cluster that was never founded is founded now, and has nothing to go on from.
                return self._raise(self.epoch + RECOVERY_EPOCHS - 1) if self.epoch else Applied()
            case _:
                assert_never(command)

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        settings = tuple(setting for _, setting in sorted(self._settings.items()))
        return encode_image(MetaImage(self.membership, settings, self._outcomes.all()))

    def restore(self, data: bytes) -> None:
        """Replace the state by one that `snapshot` returned."""
        image = decode_image(data)
        self.membership = image.membership
        self._settings = {setting.name: setting for setting in image.settings}
        self._outcomes = SettingOutcomes(image.outcomes)
        self.history.clear()

    # --- cases -------------------------------------------------------------------------------

    def _found(self, command: Found) -> Applied:
        if self.is_founded:
            return Applied()
        self.membership = command.membership
        return Applied(is_changed=True)

    def _admit_meta(self, member: Member) -> Applied:
        """Show a meta node: the newest process of its id is the one that lives."""
        present = self.membership.living(member.node_id)
        if present is not None and present.process_id == member.process_id:
            return Applied(member=present)
        if present is not None and present.role is not Role.META:
            return _in_use(present)
        self.membership = steps.joined(self.membership, member)
        return Applied(is_changed=True, member=self.membership.living(member.node_id))

    def _drop_meta(self, node_id: str) -> Applied:
        present = self.membership.living(node_id)
        if present is None or present.role is not Role.META:
            return Applied()
        self.membership = steps.departed(self.membership, present.incarnation)
        return Applied(is_changed=True, member=present)

    def _admit(self, command: Admit) -> Applied:
        present = self.membership.living(command.member.node_id)
        if present is not None:
            if present.process_id == command.member.process_id:
                return Applied(member=present)
            if present.role is Role.META or present.incarnation != command.replaces:
                return _in_use(present)
        elif len(self.membership.members) >= Limits.members_max:
            return Applied(code=LimitError.code, detail=FULL)
        self.membership = steps.joined(self.membership, command.member, command.status)
        return Applied(is_changed=True, member=self.membership.living(command.member.node_id))

    def _set_status(self, command: SetStatus) -> Applied:
        member = self._living(command.incarnation)
        if member is None or member.status is command.status:
            return Applied(member=member)
        self.membership = steps.with_status(self.membership, command.incarnation, command.status)
        return Applied(is_changed=True, member=member)

    def _depart(self, incarnation: Incarnation) -> Applied:
        member = self._living(incarnation)
        if member is None or member.role is Role.META:
            return Applied()
        self.membership = steps.departed(self.membership, incarnation)
        return Applied(is_changed=True, member=member)

    def _forget(self, incarnation: Incarnation) -> Applied:
        is_departed = any(
            m.incarnation == incarnation and m.status is Status.DEPARTED
            for m in self.membership.members
        )
        if not is_departed:
            return Applied()
        self.membership = steps.forgotten(self.membership, incarnation)
        return Applied(is_changed=True)

    def _raise(self, epoch: int) -> Applied:
        if epoch <= self.epoch:
            return Applied()
        self.membership = steps.raised(self.membership, epoch)
        return Applied(is_changed=True)

    def _change_setting(self, command: ChangeSetting) -> Applied:
        """Change a setting, unless the same change was applied or refused before."""
        known = self._outcomes.find(command.change_id)
        if known is not None:
            detail = _REFUSED_BEFORE if known.code else _DONE
            return Applied(code=known.code, detail=detail, version=known.version)
        applied = self._set_or_remove(command)
        self._outcomes.note(Outcome(command.change_id, applied.version, applied.code))
        return applied

    def _set_or_remove(self, command: ChangeSetting) -> Applied:
        epoch = self.membership.epoch
        present = self._settings.get(command.name)
        version = present.version if present is not None else 0
        if command.if_version not in (None, version):
            is_now = f"at version {version}" if present is not None else "not set"
            detail = f"{command.name} is {is_now}, not at version {command.if_version}"
            return Applied(code=VersionMismatchError.code, detail=detail)
        if command.value is None:
            if self._settings.pop(command.name, None) is None:
                return Applied(version=epoch)
        elif present is None and len(self._settings) >= Limits.settings_max:
            detail = f"there are {Limits.settings_max} settings already: remove one first"
            return Applied(code=LimitError.code, detail=detail)
        else:
            self._settings[command.name] = Setting(command.name, command.value, epoch + 1)
        self.membership = replace(self.membership, epoch=epoch + 1)
        return Applied(is_changed=True, version=epoch + 1)

    def _living(self, incarnation: Incarnation) -> Member | None:
        member = self.membership.living(incarnation.node_id)
        return member if member is not None and member.incarnation == incarnation else None


FULL: Final = f"this cluster has its {Limits.members_max} members: remove one first"


def _in_use(present: Member) -> Applied:
    return Applied(code=NodeIdInUseError.code, detail=in_use_detail(present), member=present)


def in_use_detail(present: Member) -> str:
    """Return the sentence for whoever comes with the id of a living node."""
    return (
        f"node id {present.node_id!r} is in use by the {present.role.name.lower()} node "
        f"at {present.address}: stop that one, or start this one with another node id"
    )
