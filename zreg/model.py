"""The vocabulary: names, versions, publishers, changes, members.

All values are frozen array Structs, so a record carries them as they are. The decoder enforces the
constraints in the annotations. This module knows no socket, clock or file.
"""

import enum
import functools
import hashlib
from collections.abc import Iterable
from typing import Annotated, Final, NewType

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.names import NameRule
from zreg.tcp_address import with_host

SEPARATOR: Final = "#@#"
DEFAULT_INSTANCE_ID: Final = "DEFAULT_INSTANCE_ID"
DEFAULT_GROUP: Final = "DEFAULT_GROUP"

DataInfoId = NewType("DataInfoId", str)

ID_PART: Final = NameRule(
    characters_max=Limits.id_part_characters_max,
    reserved="#*?[]",  # `#` is part of the separator, the others of search patterns
    advice=f"write 1 to {Limits.id_part_characters_max} printable characters without blanks and "
    "without any of # * ? [ ]",
)
SETTING_NAME: Final = NameRule(
    characters_max=Limits.id_part_characters_max,
    reserved="*?[]",
    advice=f"write 1 to {Limits.id_part_characters_max} printable characters, without blanks and "
    "without any of * ? [ ]",
)
NODE_ID: Final = NameRule(
    characters_max=Limits.label_characters_max,
    reserved="@=,",  # as in `ID@EPOCH` and `--peer ID=HOST:PORT,ID=HOST:PORT`
    advice=f"give 1 to {Limits.label_characters_max} printable characters without blanks and "
    "without @ = ,",
)

# What a decoder can check of a data info id: its parts, and characters that no name has. Lone
# surrogates are left out because UTF-8 cannot encode them; a shell's undecodable bytes become such
# surrogates. `check_data_info_id` has the whole rule.
_PART: Final = r"[^\s#*?\[\]\x00-\x1f\x7f\ud800-\udfff]{1,256}"
DATA_INFO_ID_PATTERN: Final = f"^{_PART}{SEPARATOR}{_PART}{SEPARATOR}{_PART}\\Z"
# A name is checked with each request of a client, and programs use few names: that many are known.
_KNOWN_MAX: Final = 8192

# The types of fields in records, with the limits that the decoder enforces.
Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
COUNT_MAX: Final = 2**63 - 1
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Label = Annotated[str, Meta(max_length=Limits.label_characters_max)]
NodeId = Annotated[str, Meta(min_length=1, max_length=Limits.label_characters_max)]
Address = Annotated[str, Meta(max_length=Limits.address_characters_max)]
BodyBytes = Annotated[bytes, Meta(max_length=Limits.body_bytes_max)]
DatumName = Annotated[DataInfoId, Meta(max_length=Limits.data_info_id_characters_max)]
CheckedDatumName = Annotated[DataInfoId, Meta(pattern=DATA_INFO_ID_PATTERN)]


def data_info_id(
    data_id: str, *, instance_id: str = DEFAULT_INSTANCE_ID, group: str = DEFAULT_GROUP
) -> DataInfoId:
    """Return the data info id of three parts; `UsageError` names a part that is not allowed."""
    if type(data_id) is type(instance_id) is type(group) is str:
        return _joined(data_id, instance_id, group)
    # Not cached, as it may have no hash.
    return _joined.__wrapped__(data_id, instance_id, group)


@functools.lru_cache(maxsize=_KNOWN_MAX)
def _joined(data_id: str, instance_id: str, group: str) -> DataInfoId:
    ID_PART.check("data id", data_id)
    ID_PART.check("instance id", instance_id)
    ID_PART.check("group", group)
    return DataInfoId(f"{data_id}{SEPARATOR}{instance_id}{SEPARATOR}{group}")


@functools.lru_cache(maxsize=_KNOWN_MAX)
def check_data_info_id(name: DataInfoId) -> None:
    """Raise `UsageError` if a part of a data info id, which has three, is not allowed."""
    data_id, instance_id, group = split_data_info_id(name)
    data_info_id(data_id, instance_id=instance_id, group=group)


def split_data_info_id(name: DataInfoId) -> tuple[str, str, str]:
    """Return (data id, instance id, group)."""
    data_id, instance_id, group = name.split(SEPARATOR)
    return data_id, instance_id, group


def checked_node_id(node_id: str) -> str:
    """Return `node_id` if it is allowed; `UsageError` says which characters are."""
    return NODE_ID.check("node id", node_id)


# Beginning of the client ids of instances that are registered over HTTP. A client draws its id at
# random, so none begins like this.
_HTTP_CLIENT: Final = b"via-http"


def http_publisher_id(name: DataInfoId, instance: str) -> bytes:
    """Return the publisher id of an instance that is registered over HTTP, the same everywhere."""
    text = f"{name}{SEPARATOR}{instance}".encode()
    return hashlib.blake2b(text, digest_size=16, person=b"zreg http").digest()


def http_client_id(publisher_id: bytes) -> bytes:
    """Return the client id of such an instance: its program is no client of any session."""
    return _HTTP_CLIENT + publisher_id[: 16 - len(_HTTP_CLIENT)]


def is_over_http(client_id: bytes) -> bool:
    """Return whether a client id is that of an instance which is registered over HTTP."""
    return client_id.startswith(_HTTP_CLIENT)


def shown_client_id(client_id: bytes) -> str:
    """Return how people and pages are shown a client."""
    return "http" if is_over_http(client_id) else client_id.hex()


class Scope(enum.IntEnum):
    """Whose publishers a subscriber gets."""

    ZONE = 1
    """Those of its own zone in its own data center."""

    DATA_CENTER = 2
    """Those of its own data center."""

    GLOBAL = 3
    """All publishers."""


class Role(enum.IntEnum):
    """What a node does in the cluster."""

    SESSION = 1  # serves clients
    DATA = 2  # holds datums
    META = 3  # agrees on the membership and the settings


class Status(enum.IntEnum):
    """What a member may do."""

    INITIAL = 1  # has joined and does not serve yet
    WORKING = 2  # serves
    LEAVING = 3  # hands over what it holds
    DEPARTED = 4  # a session that died or left; its publishers stay until its grace ends


class Cause(enum.IntEnum):
    """Why a publisher was removed.

    CLOSED and SILENT are suspicions: the client did not ask for the removal and may be alive.
    """

    UNPUBLISHED = 1  # its client unpublished it
    BYE = 2  # its client said Bye
    CLOSED = 3  # its client's connection closed, and the client did not return within the grace
    SILENT = 4  # the lease of its client expired
    NOT_REPLAYED = 5  # its client replayed its desired state without it
    EVICTED = 6  # meta forgot the session that had registered it
    ABSENT = 7  # a snapshot of a reconciled primary lacks it


class _Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all values: an array on the wire; the decoder ignores unknown trailing fields."""


class Version(_Value, frozen=True, order=True, array_like=True, gc=False):
    """The version of a datum. Versions compare as pairs; no clock is involved."""

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
    """One registration by one client; only clients read the `body`.

    Only the owning client raises `version`. `session` is the session incarnation that answers for
    the registration now: when that session is evicted, the publisher is removed.
    """

    publisher_id: Id
    version: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    client_id: Id
    session: Incarnation
    zone: Label
    data_center: Label
    app: Label
    body: BodyBytes


class Removal(_Value, frozen=True, array_like=True, gc=False):
    """Says that a publisher is removed up to and including `version`, and why.

    An eviction names the departed session: it removes only copies registered by that incarnation.
    """

    publisher_id: Id
    version: Count
    cause: Cause
    session: Incarnation = NO_INCARNATION


def publisher_wins(new: Publisher, old: Publisher) -> bool:
    """Return whether `new` replaces `old`, a copy of the same publisher.

    The higher version wins; at equal versions the session that joined at the higher epoch, then the
    higher session id. Only the owning client raises a version, so this order is total, and merging
    copies in any order gives the same content.
    """
    if new.version != old.version:
        return new.version > old.version
    return new.session > old.session


def same_to_subscribers(left: Publisher, right: Publisher) -> bool:
    """Return whether the two copies look the same to a subscriber."""
    return (
        left.body == right.body
        and left.zone == right.zone
        and left.data_center == right.data_center
        and left.app == right.app
    )


class Change(_Value, frozen=True, array_like=True, gc=False):
    """One step of a datum, from `source_version` to `version`.

    A quiet change (a replay, a new session) changes nothing that a subscriber can see.
    """

    source_version: Version
    version: Version
    publishers: Annotated[tuple[Publisher, ...], Meta(max_length=Limits.publishers_per_record_max)]
    removals: Annotated[tuple[Removal, ...], Meta(max_length=Limits.removals_per_record_max)]
    is_quiet: bool = False

    @property
    def tombstone_count(self) -> int:
        """How many of its removals leave a tombstone: evictions do not."""
        return sum(removal.cause is not Cause.EVICTED for removal in self.removals)


class Member(_Value, frozen=True, array_like=True, gc=False):
    """An entry of the membership. An address that its role does not use is empty."""

    node_id: NodeId
    role: Role
    incarnation_epoch: Count
    status: Status
    # Where clients (to a session), sessions (to a data node) or nodes (to meta) connect.
    address: Address
    # Where the PUB socket of a data node or of meta is bound.
    changes_address: Address = ""
    zone: Label = ""
    data_center: Label = ""
    weight: Annotated[int, Meta(ge=1, le=Limits.weight_max)] = 1
    # Random bytes of one process, so that meta tells a repeated Join from a second process.
    process_id: Annotated[bytes, Meta(max_length=16)] = b""

    @property
    def incarnation(self) -> Incarnation:
        """Return the incarnation of this member."""
        return Incarnation(self.incarnation_epoch, self.node_id)

    def at_host(self, host: str, process_id: bytes) -> "Member":
        """Return this member with another host in its addresses, as another process to meta."""
        changes_address = self.changes_address and with_host(self.changes_address, host)
        return msgspec.structs.replace(
            self,
            address=with_host(self.address, host),
            changes_address=changes_address,
            process_id=process_id,
        )


ReplicaCount = Annotated[int, Meta(ge=1, le=Limits.replica_count_max)]


class RingParameters(_Value, frozen=True, array_like=True, gc=False):
    """How the ring is built from the data nodes; the same in the whole cluster."""

    hash_name: Label = "md5"
    virtual_node_count: Annotated[int, Meta(ge=1, le=Limits.virtual_node_count_max)] = 160
    replica_count: ReplicaCount = 1


class Membership(_Value, frozen=True, array_like=True, gc=False):
    """The agreed list of members. `ring_epoch` is the epoch of the last change to the ring."""

    cluster_id: Annotated[bytes, Meta(max_length=16)]
    epoch: Count
    ring_epoch: Count
    ring: RingParameters
    members: Annotated[tuple[Member, ...], Meta(max_length=Limits.members_max)]

    def of(self, role: Role, *statuses: Status) -> list[Member]:
        """Return the members of one role with one of the statuses (default: WORKING), in order."""
        wanted = statuses or (Status.WORKING,)
        return [m for m in self.members if m.role is role and m.status in wanted]

    def has_living(self, incarnation: Incarnation) -> bool:
        """Return whether this incarnation is a member that has not departed."""
        member = self.living(incarnation.node_id)
        return member is not None and member.incarnation == incarnation

    def living(self, node_id: str) -> Member | None:
        """Return the member with this id that has not departed, if any; there is at most one."""
        return next(
            (m for m in self.members if m.node_id == node_id and m.status is not Status.DEPARTED),
            None,
        )


def in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the members in the order of every membership: by role, node id and incarnation."""
    return tuple(sorted(members, key=lambda m: (m.role, m.node_id, m.incarnation_epoch)))


EMPTY_MEMBERSHIP: Final = Membership(b"", 0, 0, RingParameters(), ())
