"""The vocabulary: names, versions, publishers, changes, members.

All values are frozen array Structs, so the wire carries them as they are. Constraints in the
annotations hold while decoding. Nothing here knows a socket, a clock or a file.
"""

import enum
import re
from collections.abc import Iterable
from typing import Annotated, Final, NewType

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.errors import UsageError

SEPARATOR: Final = "#@#"
DEFAULT_INSTANCE_ID: Final = "DEFAULT_INSTANCE_ID"
DEFAULT_GROUP: Final = "DEFAULT_GROUP"

DataInfoId = NewType("DataInfoId", str)

# Printable, no blanks, no `#` (the separator's) and none of `*?[]` (they are for searching).
# Lone surrogates, which a shell's undecodable bytes become, cannot be encoded.
_PART: Final = r"[^\s#*?\[\]\x00-\x1f\x7f\ud800-\udfff]{1,256}"
DATA_INFO_ID_PATTERN: Final = f"^{_PART}{SEPARATOR}{_PART}{SEPARATOR}{_PART}\\Z"
_is_part = re.compile(f"{_PART}\\Z").match

# The pieces that messages are made of, with the limits that decoding enforces.
Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Label = Annotated[str, Meta(max_length=Limits.label_characters_max)]
NodeId = Annotated[str, Meta(min_length=1, max_length=Limits.label_characters_max)]
Address = Annotated[str, Meta(max_length=Limits.address_characters_max)]
Body = Annotated[bytes, Meta(max_length=Limits.body_bytes_max)]
DatumName = Annotated[DataInfoId, Meta(max_length=Limits.data_info_id_characters_max)]
CheckedDatumName = Annotated[DataInfoId, Meta(pattern=DATA_INFO_ID_PATTERN)]


def data_info_id(
    data_id: str, *, instance_id: str = DEFAULT_INSTANCE_ID, group: str = DEFAULT_GROUP
) -> DataInfoId:
    """Join the three parts of a datum's name; `UsageError` says which part cannot be used."""
    parts = {"data id": data_id, "instance id": instance_id, "group": group}
    for name, part in parts.items():
        if not _is_part(part):
            raise UsageError(
                f"{name} {part[:80]!r} cannot be used: write 1 to {Limits.id_part_characters_max} "
                "printable characters without blanks and without any of # * ? [ ]"
            )
    return DataInfoId(SEPARATOR.join(parts.values()))


def split_data_info_id(name: DataInfoId) -> tuple[str, str, str]:
    """Return (data id, instance id, group)."""
    data_id, instance_id, group = name.split(SEPARATOR)
    return data_id, instance_id, group


def checked_node_id(node_id: str) -> str:
    """Return the name of a node; `UsageError` says why it cannot be one."""
    is_short = 0 < len(node_id) <= Limits.label_characters_max
    if not is_short or not node_id.isprintable() or any(c.isspace() or c == "@" for c in node_id):
        raise UsageError(
            f"node id {node_id[:80]!r} cannot be used: give 1 to {Limits.label_characters_max} "
            "printable characters without blanks and without @"
        )
    return node_id


class Scope(enum.IntEnum):
    """How far a subscriber looks."""

    ZONE = 1
    DATA_CENTER = 2
    GLOBAL = 3


class Role(enum.IntEnum):
    """What a node is for."""

    SESSION = 1
    DATA = 2
    META = 3


class Status(enum.IntEnum):
    """What a member may do; DEPARTED: dead, what it vouched for is still in grace."""

    INITIAL = 1
    WORKING = 2
    LEAVING = 3
    DEPARTED = 4


class Cause(enum.IntEnum):
    """Why a publisher was removed; the evidence that later judgement rests on."""

    UNPUBLISHED = 1
    BYE = 2
    CLOSED = 3
    SILENT = 4
    NOT_REPLAYED = 5
    EVICTED = 6
    ABSENT = 7  # a snapshot of a reconciled primary lacks it


class _Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all values here: an array on the wire, unknown trailing fields ignored."""


class Version(_Value, frozen=True, order=True, array_like=True, gc=False):
    """The version of a datum: compared as a pair, no clock in it."""

    epoch: Count
    counter: Count

    def __str__(self) -> str:
        """Return `epoch.counter`."""
        return f"{self.epoch}.{self.counter}"


ZERO: Final = Version(0, 0)


class Incarnation(_Value, frozen=True, order=True, array_like=True, gc=False):
    """One life of a node: its id, and the epoch at which it joined."""

    epoch: Count
    node_id: NodeId

    def __str__(self) -> str:
        """Return `node_id@epoch`."""
        return f"{self.node_id}@{self.epoch}"


NO_INCARNATION: Final = Incarnation(0, "-")


class Publisher(_Value, frozen=True, array_like=True, gc=False):
    """One registration by one client; `body` is opaque to everybody but clients.

    `version` is raised by the owning client alone; `voucher` is the session incarnation that
    answers for it now.
    """

    publisher_id: Id
    version: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    client_id: Id
    session: Incarnation
    zone: Label
    data_center: Label
    app: Label
    body: Body


class Removal(_Value, frozen=True, array_like=True, gc=False):
    """A publisher is gone up to `version`, and why; an eviction names the voucher that died."""

    publisher_id: Id
    version: Count
    cause: Cause
    session: Incarnation = NO_INCARNATION


def publisher_wins(new: Publisher, old: Publisher) -> bool:
    """Return whether `new` replaces `old`, which is of the same publisher id.

    Only the owning client raises a version, so the order is total and merging commutes: higher
    version, then the voucher that joined at the higher epoch, then the higher session id.
    """
    if new.version != old.version:
        return new.version > old.version
    return new.session > old.session


def same_to_subscribers(left: Publisher, right: Publisher) -> bool:
    """Return whether a subscriber could not tell the two apart."""
    return (
        left.body == right.body
        and left.zone == right.zone
        and left.data_center == right.data_center
        and left.app == right.app
    )


class Change(_Value, frozen=True, array_like=True, gc=False):
    """One step of a datum, from `source_version` to `version`; quiet: nobody can see it."""

    source_version: Version
    version: Version
    publishers: Annotated[tuple[Publisher, ...], Meta(max_length=Limits.publishers_per_record_max)]
    removals: Annotated[tuple[Removal, ...], Meta(max_length=Limits.removals_per_record_max)]
    is_quiet: bool = False


class Member(_Value, frozen=True, array_like=True, gc=False):
    """An entry of the membership. Addresses that a role does not have are empty."""

    node_id: NodeId
    role: Role
    incarnation_epoch: Count
    status: Status
    # Where clients (of a session) or sessions (of a data node) connect.
    address: Address
    # Where a data node's PUB socket is.
    changes_address: Address = ""
    zone: Label = ""
    data_center: Label = ""
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    # Made at random by the process at its start: tells a repeated join from a second process.
    process_id: Annotated[bytes, Meta(max_length=16)] = b""

    @property
    def incarnation(self) -> Incarnation:
        """Return who this is, this life."""
        return Incarnation(self.incarnation_epoch, self.node_id)


class RingParameters(_Value, frozen=True, array_like=True, gc=False):
    """What the ring is built from besides the data nodes; the same for the whole cluster."""

    hash_name: Label = "md5"
    virtual_node_count: Annotated[int, Meta(ge=1, le=Limits.virtual_node_count_max)] = 160
    replica_count: Annotated[int, Meta(ge=1, le=Limits.replica_count_max)] = 1


class Membership(_Value, frozen=True, array_like=True, gc=False):
    """The agreed list of members; `ring_epoch` is the epoch of the last change to the ring."""

    cluster_id: Annotated[bytes, Meta(max_length=16)]
    epoch: Count
    ring_epoch: Count
    ring: RingParameters
    members: Annotated[tuple[Member, ...], Meta(max_length=Limits.members_max)]

    def of(self, role: Role, *statuses: Status) -> list[Member]:
        """Return the members of one role with one of the statuses (default WORKING), in order."""
        wanted = statuses or (Status.WORKING,)
        return [m for m in self.members if m.role is role and m.status in wanted]

    def has_living(self, incarnation: Incarnation) -> bool:
        """Return whether this incarnation is a member that has not departed."""
        member = self.living(incarnation.node_id)
        return member is not None and member.incarnation == incarnation

    def living(self, node_id: str) -> Member | None:
        """Return the member of that id that has not departed; there is at most one."""
        return next(
            (m for m in self.members if m.node_id == node_id and m.status is not Status.DEPARTED),
            None,
        )

    def holds(self, incarnation: Incarnation) -> bool:
        """Return whether this incarnation is a member, living or departed and in grace."""
        return any(m.incarnation == incarnation for m in self.members)


def in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the members as every membership has them: by role, node id and incarnation."""
    return tuple(sorted(members, key=lambda m: (m.role, m.node_id, m.incarnation_epoch)))


EMPTY_MEMBERSHIP: Final = Membership(b"", 0, 0, RingParameters(), ())
