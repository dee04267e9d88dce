"""The configuration of a node, with the reason for each default, and the limits of the protocol.

Make a `Config` with `for_lan()` or `for_loopback()` and change fields with
`msgspec.structs.replace`. It is frozen, and validated as a whole whenever it is made. Durations are
seconds. Both ends of a connection rely on the `Limits`, so these are constants.
"""

import functools
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from zreg.errors import UsageError
from zreg.names import NameRule


class Limits:
    """The limits of the protocol. The decoder enforces them before a core sees a record."""

    frame_bytes_max: Final = 1 << 20
    records_per_frame_max: Final = 1024
    frames_per_message_max: Final = 3
    # A client leaves so many publications unanswered; the rest waits with it. So a session that got
    # fewer in a replay knows that the client is not waiting for answers.
    client_window: Final = 256
    id_part_characters_max: Final = 256
    data_info_id_characters_max: Final = 3 * 256 + 6
    label_characters_max: Final = 64
    address_characters_max: Final = 256
    detail_characters_max: Final = 500
    body_bytes_max: Final = 64 << 10
    values_per_publisher_max: Final = 64
    attributes_per_publisher_max: Final = 64
    removals_per_record_max: Final = 10_000
    publishers_per_record_max: Final = 10_000
    changes_per_record_max: Final = 10_000
    ids_per_record_max: Final = 10_000
    members_max: Final = 2_000
    # Meta refuses a larger member, so that a membership, which is one record, fits into a frame.
    member_bytes_max: Final = 512
    bucket_count: Final = 1024
    virtual_node_count_max: Final = 10_000
    replica_count_max: Final = 100
    # Of a data node: it has `weight` times the virtual nodes.
    weight_max: Final = 1000
    # The longest duration that a peer can name, so that every wait for it ends.
    seconds_max: Final = 86_400
    # A sender splits a snapshot into parts of about this size, so that each fits into a frame.
    part_bytes_max: Final = 256 << 10
    # Of one subscription, a session keeps so many deltas unacknowledged, and no further one while
    # their bodies have so many bytes. The client acknowledges before half of either is used up.
    pushes_in_flight_max: Final = 8
    push_window_bytes: Final = 256 << 10
    pushes_gathered_max: Final = 4
    push_bytes_gathered_max: Final = 64 << 10
    # A change up to this size is sent inside its hint, which saves the follower a round trip.
    inline_change_bytes_max: Final = 4 << 10
    # An entry of meta's log or a chunk of its snapshot; with its envelope far below a frame.
    raft_data_bytes_max: Final = 256 << 10
    raft_entries_per_record_max: Final = 4096
    # Settings are switches and small documents; every meta node holds all of them in memory.
    setting_characters_max: Final = 4096
    settings_per_record_max: Final = 50
    settings_max: Final = 1000
    # Meta remembers so many changes of settings, so that a repeated request changes nothing again.
    changes_remembered_max: Final = 256


# The hash functions of the ring, by their names in `hashlib`.
RING_HASHES: Final = ("md5", "sha1", "sha256", "blake2b")


def ring_hash_objection(name: str) -> str | None:
    """Return why no ring can be built with this hash function; None if one can."""
    if name in RING_HASHES:
        return None
    return f"ring_hash {name!r:.80} is not known: choose one of {', '.join(RING_HASHES)}"


CLUSTER_NAME: Final = NameRule(
    characters_max=Limits.label_characters_max,
    advice=f"give 1 to {Limits.label_characters_max} printable characters without blanks",
)
LABEL: Final = NameRule(
    characters_max=Limits.label_characters_max,
    advice=f"give a printable text of at most {Limits.label_characters_max} characters",
    is_label=True,
)


_PERCENT_MAX: Final = 100


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All parameters of one node or client. Raises `UsageError` if they cannot work together."""

    # The name of the cluster; messages of any other cluster are dropped before they are decoded.
    cluster: str = "zreg"
    # The labels of this node; a session also gives them to clients that have none.
    zone: str = ""
    data_center: str = ""
    # How much of the data this data node takes, relative to the other data nodes.
    weight: int = 1
    # The addresses of the meta nodes, tried in turn with jitter. None: the meta node of this
    # machine, then those that the LAN announces.
    meta_addresses: tuple[str, ...] = ()

    # The lease of a node or client expires after so much silence: several missed renewals.
    lease_seconds: float = 3.0
    # How often a node renews its lease with meta.
    renew_seconds: float = 0.5
    # How often a client pings when it has nothing else to send.
    ping_seconds: float = 1.0
    # How long a client whose connection closed may come back before its publishers are removed.
    disconnect_grace_seconds: float = 0.5
    # How long the publishers of a departed session stay, so that its clients can replay elsewhere.
    session_grace_seconds: float = 20.0
    # A write is accepted without a replica that has not acknowledged it within this time.
    replica_ack_seconds: float = 0.25
    # How long a draining data node may hand over its data; then meta removes it all the same.
    drain_seconds: float = 60.0
    # How long meta shows a session or data node that was lost, unless it is back or replaced.
    gone_seconds: float = 3600.0
    # How long a removal is remembered, so that a late copy of the publisher does not bring it back.
    tombstone_seconds: float = 600.0
    # A request between nodes is sent again if it was not answered within this time.
    request_retry_seconds: float = 1.0
    # A client that did not acknowledge a push within this time, and within the ping interval, is
    # probed; no push is sent again.
    push_retry_seconds: float = 2.0
    # How often data nodes and meta broadcast their versions, so that a lost hint is noticed.
    beat_seconds: float = 1.0
    # How often a session and a data node compare what the session registers there.
    digest_seconds: float = 1.0
    # How often a session compares all versions, also if no beat shows a difference.
    sweep_seconds: float = 60.0
    # A follower without a copy takes what an unreconciled primary has after this time.
    provisional_seconds: float = 0.5
    # It takes an empty datum from an unreconciled primary only after this time.
    provisional_empty_seconds: float = 60.0
    # The first and the longest pause between two attempts to connect, with jitter.
    reconnect_seconds_min: float = 0.05
    reconnect_seconds_max: float = 2.0

    # An op log keeps up to max(this, publishers / 4) changes, and drops those that are too old.
    op_log_length_min: int = 128
    op_log_seconds: float = 60.0
    # All op logs of a data node together take about so much memory; the oldest changes go first.
    op_log_bytes_max: int = 128 * 1024 * 1024
    # How much one client may register with a session, and how many clients a session takes.
    publishers_per_client_max: int = 10_000
    subscribers_per_client_max: int = 10_000
    clients_max: int = 20_000
    # How many instances that programs registered over HTTP a session holds.
    http_instances_max: int = 10_000
    # A session with many more clients than others asks up to so many percent of them in a second,
    # but at least one, to move to another session; 0: none.
    move_percent_max: int = 1
    # How many publishers a data node takes, copies included: about 3 GB with 100 bytes in each.
    publishers_max: int = 5_000_000
    # How many publishers one id may have: each of its subscribers gets all of them.
    publishers_per_datum_max: int = 100_000
    # The points per data node on the ring, the hash function of the ring, the copies of each datum.
    virtual_node_count: int = 160
    ring_hash: str = "md5"
    replica_count: int = 3

    _POSITIVE: ClassVar[tuple[str, ...]] = (
        "weight",
        "lease_seconds",
        "renew_seconds",
        "ping_seconds",
        "request_retry_seconds",
        "push_retry_seconds",
        "beat_seconds",
        "digest_seconds",
        "sweep_seconds",
        "reconnect_seconds_min",
        "op_log_length_min",
        "op_log_seconds",
        "op_log_bytes_max",
        "publishers_per_client_max",
        "subscribers_per_client_max",
        "clients_max",
        "http_instances_max",
        "publishers_max",
        "publishers_per_datum_max",
        "virtual_node_count",
        "replica_count",
    )

    def __post_init__(self) -> None:
        """Raise `UsageError` if a field cannot work; the text names it and the allowed values."""
        self._check_types()
        for name in self._POSITIVE:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be greater than 0, not {getattr(self, name)!r}")
        for name in self.__struct_fields__:
            if "_seconds" in name and not 0 <= getattr(self, name) <= Limits.seconds_max:
                raise UsageError(
                    f"{name} must be from 0 to {Limits.seconds_max}, not {getattr(self, name)!r}"
                )
        for name in ("virtual_node_count", "replica_count", "weight"):
            value, value_max = getattr(self, name), getattr(Limits, f"{name}_max")
            if value > value_max:
                raise UsageError(f"{name} must be at most {value_max}, not {value}")
        if not 0 <= self.move_percent_max <= _PERCENT_MAX:
            raise UsageError(
                f"move_percent_max must be from 0 to {_PERCENT_MAX}, not {self.move_percent_max!r}"
            )
        for name, default in _defaults().items():
            if isinstance(default, int) and not isinstance(getattr(self, name), int):
                raise UsageError(
                    f"{name} {getattr(self, name)!r} cannot be used: give {_KINDS[int]}"
                )
        self._check_labels()
        self._check_relations()

    def _check_types(self) -> None:
        """Raise `UsageError` for a value of another type than the default's."""
        for name, default in _defaults().items():
            value = getattr(self, name)
            if isinstance(default, tuple):
                is_right = isinstance(value, tuple | list) and all(
                    isinstance(each, str) for each in value
                )
                if is_right:
                    # A copy: the caller may change a list later.
                    msgspec.structs.force_setattr(self, name, tuple(value))
            else:
                kind = type(default) if isinstance(default, str) else int | float
                is_right = isinstance(value, kind) and not isinstance(value, bool)
            if not is_right:
                raise UsageError(
                    f"{name} {value!r:.80} cannot be used: give {_KINDS[type(default)]}"
                )

    def _check_relations(self) -> None:
        if self.lease_seconds < 3 * self.renew_seconds:
            raise UsageError("lease_seconds must be at least three times renew_seconds")
        if self.lease_seconds < 2 * self.ping_seconds:
            raise UsageError("lease_seconds must be at least twice ping_seconds")
        if self.reconnect_seconds_max < self.reconnect_seconds_min:
            raise UsageError("reconnect_seconds_max must not be below reconnect_seconds_min")
        # A copy that was not compared for half of this time is replaced and offers nothing.
        for name in ("sweep_seconds", "digest_seconds"):
            if self.tombstone_seconds < 2 * getattr(self, name):
                raise UsageError(
                    f"tombstone_seconds must be at least twice {name}, so that every copy is "
                    f"compared while a removal is remembered: raise tombstone_seconds or lower "
                    f"{name}"
                )

    def _check_labels(self) -> None:
        if (objection := ring_hash_objection(self.ring_hash)) is not None:
            raise UsageError(objection)
        CLUSTER_NAME.check("cluster", self.cluster)
        LABEL.check("zone", self.zone)
        LABEL.check("data_center", self.data_center)

    @classmethod
    def for_lan(cls) -> "Config":
        """Return the defaults, for machines on one LAN."""
        return cls()

    @classmethod
    def for_loopback(cls) -> "Config":
        """Return the defaults for one machine (`zreg dev`, tests): same leases, faster retries."""
        return cls(request_retry_seconds=0.5, reconnect_seconds_max=0.5)


_KINDS: Final[Mapping[type, str]] = {
    str: "text",
    float: "a number of seconds",
    int: "a whole number",
    tuple: "a tuple of texts",
}


@functools.cache
def _defaults() -> Mapping[str, object]:
    """Return the fields and their defaults."""
    return {field.name: field.default for field in msgspec.structs.fields(Config)}
