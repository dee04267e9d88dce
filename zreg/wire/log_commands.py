"""What meta's log holds: the commands of its state machine, and a snapshot of its state.

They are on disk as long as the log is, and travel to nodes of other versions in `AppendEntries`:
tags and fields only grow, as those of records do.
"""

from typing import Final

import msgspec

from zreg.config import Limits
from zreg.model import NO_INCARNATION, Incarnation, Member, Membership, Status
from zreg.wire.settings_messages import Setting


class Command(msgspec.Struct, frozen=True, array_like=True):
    """The base of every command."""


class Found(Command, tag=1, frozen=True, array_like=True):
    """Begin the cluster with this membership, unless it has begun."""

    membership: Membership


class AdmitMeta(Command, tag=2, frozen=True, array_like=True):
    """Show this process as the meta node of its id."""

    member: Member


class Admit(Command, tag=3, frozen=True, array_like=True):
    """Let a node in; it may take the place of this incarnation of its id, and of no other.

    INITIAL: it comes and goes too often, and waits.
    """

    member: Member
    replaces: Incarnation = NO_INCARNATION
    status: Status = Status.WORKING


class SetStatus(Command, tag=4, frozen=True, array_like=True):
    """Change what this incarnation may do."""

    incarnation: Incarnation
    status: Status


class Depart(Command, tag=5, frozen=True, array_like=True):
    """Let this incarnation go; `reason` is for people."""

    incarnation: Incarnation
    reason: str


class Forget(Command, tag=6, frozen=True, array_like=True):
    """Drop a departed session."""

    incarnation: Incarnation


class Raise(Command, tag=7, frozen=True, array_like=True):
    """Go above an epoch that somebody has seen."""

    epoch: int


class Adopt(Command, tag=8, frozen=True, array_like=True):
    """Take over the membership that a node remembers; never proposed any more.

    A meta node without a disk proposed it in earlier versions. Their journals must still load, so
    it is applied, and its tag is not used for anything else.
    """

    membership: Membership


class ChangeSetting(Command, tag=9, frozen=True, array_like=True):
    """Set or remove (None) a setting, if it is at `if_version` (0: not there; None: whatever)."""

    name: str
    value: str | None
    if_version: int | None = None
    # A change that is proposed again under its id changes nothing; empty: it has none.
    change_id: bytes = b""


class DropMeta(Command, tag=10, frozen=True, array_like=True):
    """Show the meta node of this id no more: it has no part in Raft any more."""

    node_id: str


class Recover(Command, tag=11, frozen=True, array_like=True):
    """Go on after a quorum was lost for good, above whatever epoch the lost nodes may have seen."""


AnyCommand = (
    Found
    | AdmitMeta
    | Admit
    | SetStatus
    | Depart
    | Forget
    | Raise
    | Adopt
    | ChangeSetting
    | DropMeta
    | Recover
)


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of one change: done at the epoch `version`, or refused with a code."""

    change_id: bytes
    version: int
    code: int = 0


class MetaImage(msgspec.Struct, frozen=True, array_like=True):
    """The whole state of meta, as a snapshot holds it."""

    membership: Membership
    settings: tuple[Setting, ...]
    # Of the last changes, the oldest first.
    outcomes: tuple[Outcome, ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()
_command_decoder: Final = msgspec.msgpack.Decoder(AnyCommand)
_image_decoder: Final = msgspec.msgpack.Decoder(MetaImage)

COMMAND_BYTES_MAX: Final = Limits.raft_data_bytes_max


def encode_command(command: AnyCommand) -> bytes:
    """Return a command as an entry holds it."""
    return _encoder.encode(command)


def decode_command(data: bytes) -> AnyCommand:
    """Return the command of an entry; `msgspec.DecodeError` if this version does not know it."""
    command: AnyCommand = _command_decoder.decode(data)
    return command


def encode_image(image: MetaImage) -> bytes:
    """Return the state as a snapshot holds it."""
    return _encoder.encode(image)


def decode_image(data: bytes) -> MetaImage:
    """Return the state of a snapshot."""
    return _image_decoder.decode(data)
