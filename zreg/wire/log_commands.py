"""What meta's log holds: the commands of its state machine, and a snapshot of its state.

They stay on disk as long as the log, and travel to nodes of other versions in `AppendEntries`. So
tags and fields are only added, as those of records are.
"""

from typing import Final

import msgspec

from zreg.config import Limits
from zreg.model import (
    NO_INCARNATION,
    Incarnation,
    Member,
    Membership,
    ReplicaCount,
    Role,
    Status,
)
from zreg.wire.records.settings_messages import Setting


class Command(msgspec.Struct, frozen=True, array_like=True):
    """The base of every command."""


class Found(Command, tag=1, frozen=True, array_like=True):
    """Found the cluster with this membership, unless it is founded already."""

    membership: Membership


class AdmitMeta(Command, tag=2, frozen=True, array_like=True):
    """List this process in the membership as the meta node of its id."""

    member: Member


class Admit(Command, tag=3, frozen=True, array_like=True):
    """Admit a node; it may replace this incarnation of its id, and no other.

    With status INITIAL it has departed too often and must wait, or it `reports_ready`: then it
    becomes WORKING after it has said that it holds what it will own.
    """

    member: Member
    replaces: Incarnation = NO_INCARNATION
    status: Status = Status.WORKING
    reports_ready: bool = False


# A change of status that does not depend on the ring.
ANY_RING_EPOCH: Final = -1


class SetStatus(Command, tag=4, frozen=True, array_like=True):
    """Change the status of this incarnation, if the ring has the epoch `if_ring_epoch`.

    `ANY_RING_EPOCH`: it may have any.
    """

    incarnation: Incarnation
    status: Status
    if_ring_epoch: int = ANY_RING_EPOCH


class Depart(Command, tag=5, frozen=True, array_like=True):
    """Remove this incarnation, a session as DEPARTED; `reason` is for people.

    A loss, which is no goodbye and no end of a drain, is remembered.
    """

    incarnation: Incarnation
    reason: str
    is_loss: bool = False


class Forget(Command, tag=6, frozen=True, array_like=True):
    """Remove a departed session from the membership, or these losses from what is remembered.

    With `NO_INCARNATION` only losses are forgotten. A meta node of an earlier version then does
    nothing; a command of its own would end that node.
    """

    incarnation: Incarnation
    losses: tuple[Incarnation, ...] = ()


class Raise(Command, tag=7, frozen=True, array_like=True):
    """Raise the epoch above one that a node has seen."""

    epoch: int


class Adopt(Command, tag=8, frozen=True, array_like=True):
    """Take over the membership that a node remembers; never proposed any more.

    A meta node without a disk proposed it in earlier versions. Their journals must still load, so
    it is applied, and its tag is not used for anything else.
    """

    membership: Membership


class ChangeSetting(Command, tag=9, frozen=True, array_like=True):
    """Set or remove (None) a setting, if it is at `if_version`.

    Version 0 means that it is not set; None, that any version will do.
    """

    name: str
    value: str | None
    if_version: int | None = None
    # A change that is proposed again with its id changes nothing; empty: it has no id.
    change_id: bytes = b""


class DropMeta(Command, tag=10, frozen=True, array_like=True):
    """Remove a meta node from the membership: it is not in Raft's configuration any more."""

    node_id: str


class Recover(Command, tag=11, frozen=True, array_like=True):
    """Raise the epoch above all that the lost nodes can have reached, after a lost quorum."""


class ChangeReplicaCount(Command, tag=12, frozen=True, array_like=True):
    """Keep each datum on so many data nodes; a new ring begins."""

    replica_count: ReplicaCount


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
    | ChangeReplicaCount
)


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The outcome of one change: made at the epoch `version`, or refused with a code."""

    change_id: bytes
    version: int
    code: int = 0


class Loss(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A member that departed without a goodbye, as all meta nodes remember it."""

    incarnation: Incarnation
    role: Role
    address: str
    # At which it departed.
    epoch: int
    # One of those of `Departures`.
    reason: str
    # How many members of its role served or soon would, with it.
    members_before: int
    # How often its id was lost, as far as it is remembered.
    count: int = 1
    # Its id is back, or another node has taken its place.
    is_over: bool = False


class MetaImage(msgspec.Struct, frozen=True, array_like=True):
    """The whole state of meta in a snapshot."""

    membership: Membership
    settings: tuple[Setting, ...]
    # The outcomes of the last changes, the oldest first.
    outcomes: tuple[Outcome, ...] = ()
    # The INITIAL members that report when they are ready, by epoch.
    reporters: tuple[Incarnation, ...] = ()
    # The last losses, the oldest first.
    losses: tuple[Loss, ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()
_command_decoder: Final = msgspec.msgpack.Decoder(AnyCommand)
_image_decoder: Final = msgspec.msgpack.Decoder(MetaImage)

COMMAND_BYTES_MAX: Final = Limits.raft_data_bytes_max


def encode_command(command: AnyCommand) -> bytes:
    """Return the bytes of a command for an entry."""
    return _encoder.encode(command)


def decode_command(data: bytes) -> AnyCommand:
    """Return the command of an entry; `msgspec.DecodeError` if this version does not know it."""
    command: AnyCommand = _command_decoder.decode(data)
    return command


def encode_image(image: MetaImage) -> bytes:
    """Return the bytes of the state for a snapshot."""
    return _encoder.encode(image)


def decode_image(data: bytes) -> MetaImage:
    """Return the state of a snapshot."""
    return _image_decoder.decode(data)
