"""Every knob of a node, with its reason, and the limits of the wire.

A `Config` is a whole: frozen, validated once, made by `for_lan()` or `for_loopback()` and then
changed field by field (`msgspec.structs.replace`). Durations are seconds. `Limits` are part of
the protocol: both ends rely on them, so they are constants and not settings.
"""

from typing import ClassVar, Final

import msgspec

from zreg.errors import UsageError


class Limits:
    """What the wire carries at most; enforced while decoding, before a core sees anything."""

    frame_bytes_max: Final = 1 << 20
    records_per_frame_max: Final = 1024
    frames_per_message_max: Final = 3
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
    bucket_count: Final = 1024
    virtual_node_count_max: Final = 10_000
    replica_count_max: Final = 100
    # No duration is longer: what counts time in a peer's seconds must come to an end.
    seconds_max: Final = 86_400
    # A snapshot leaves in parts of about this size, so that a large datum never fills a frame.
    part_bytes_max: Final = 256 << 10
    # A change up to this size rides inside its hint, which saves the follower a round trip.
    inline_change_bytes_max: Final = 4 << 10
    # One entry of meta's log, one chunk of its snapshot: with its envelope well below a frame.
    raft_data_bytes_max: Final = 256 << 10
    raft_entries_per_record_max: Final = 4096
    # Settings are switches and small documents; all of them are in memory on every meta node.
    setting_characters_max: Final = 4096
    settings_per_record_max: Final = 50
    settings_max: Final = 1000
    # So many changes of settings are remembered, so that one which is asked again happens once.
    changes_remembered_max: Final = 256


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one node, all of them."""

    # Which cluster this is; frames of any other name are dropped before they are decoded.
    cluster: str = "zreg"
    # Labels of this node and, for a session, of the clients that do not bring their own.
    zone: str = ""
    data_center: str = ""
    # Where meta is. Tried in turn, with jitter.
    meta_addresses: tuple[str, ...] = ("tcp://127.0.0.1:9610",)

    # A node or client that was silent for so long is gone. Three missed renewals and a bit.
    lease_seconds: float = 3.0
    # How often a node renews at meta.
    renew_seconds: float = 0.5
    # How often a client pings when it has nothing else to say.
    ping_seconds: float = 1.0
    # A client whose connection closed may come back so long before its publishers go.
    disconnect_grace_seconds: float = 0.5
    # A departed session's publishers stay so long, which is the time its clients have to replay.
    session_grace_seconds: float = 20.0
    # A removal is remembered so long, so that a late copy of what it removed cannot come back.
    tombstone_seconds: float = 600.0
    # A request between nodes that was not answered in this time is sent again.
    request_retry_seconds: float = 1.0
    # A push that was not acknowledged in this time is sent again, then the client is probed.
    push_retry_seconds: float = 2.0
    # How often a data node and meta say on PUB what they have, so that a lost hint is noticed.
    beat_seconds: float = 1.0
    # How often a session and a data node compare what the session vouches for.
    digest_seconds: float = 1.0
    # Everything is compared this often, whatever the beats say.
    sweep_seconds: float = 60.0
    # A follower without a copy takes what an unreconciled primary has after this time,
    provisional_seconds: float = 0.5
    # and takes an empty list from one only after this.
    provisional_empty_seconds: float = 60.0
    # First and longest pause between two attempts to connect; jittered.
    reconnect_seconds_min: float = 0.05
    reconnect_seconds_max: float = 2.0

    # The changes of a datum that are kept: max(this, publishers / 4), and not longer than this.
    op_log_length_min: int = 128
    op_log_seconds: float = 60.0
    # What one client may register, and how many clients one session takes.
    publishers_per_client_max: int = 10_000
    subscribers_per_client_max: int = 10_000
    clients_max: int = 20_000
    # Points per data node on the ring, its hash function, and copies of each datum.
    virtual_node_count: int = 160
    ring_hash: str = "md5"
    replica_count: int = 1

    _POSITIVE: ClassVar[tuple[str, ...]] = (
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
        "publishers_per_client_max",
        "subscribers_per_client_max",
        "clients_max",
        "virtual_node_count",
        "replica_count",
    )

    def __post_init__(self) -> None:
        """Refuse a whole that cannot work, naming the field and what it may be."""
        for name in self._POSITIVE:
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be greater than 0, not {getattr(self, name)!r}")
        for name in self.__struct_fields__:
            if "_seconds" in name and not 0 <= getattr(self, name) <= Limits.seconds_max:
                raise UsageError(
                    f"{name} must be from 0 to {Limits.seconds_max}, not {getattr(self, name)!r}"
                )
        for name in ("virtual_node_count", "replica_count"):
            value, value_max = getattr(self, name), getattr(Limits, f"{name}_max")
            if value > value_max:
                raise UsageError(f"{name} must be at most {value_max}, not {value}")
        self._check_labels()
        self._check_relations()

    def _check_relations(self) -> None:
        if not self.meta_addresses:
            raise UsageError("meta_addresses must name at least one meta node, tcp://HOST:PORT")
        if self.lease_seconds < 3 * self.renew_seconds:
            raise UsageError("lease_seconds must be at least three times renew_seconds")
        if self.lease_seconds < 2 * self.ping_seconds:
            raise UsageError("lease_seconds must be at least twice ping_seconds")
        if self.reconnect_seconds_max < self.reconnect_seconds_min:
            raise UsageError("reconnect_seconds_max must not be below reconnect_seconds_min")

    def _check_labels(self) -> None:
        if not self.cluster:
            raise UsageError("cluster must not be empty: name the cluster that the node belongs to")
        for name in ("cluster", "zone", "data_center"):
            label = getattr(self, name)
            if len(label) > Limits.label_characters_max:
                raise UsageError(f"{name} is longer than {Limits.label_characters_max} characters")
            if not label.isprintable():
                raise UsageError(f"{name} {label!r} must be printable text")

    @classmethod
    def for_lan(cls) -> "Config":
        """Return the defaults: machines on a LAN, one site."""
        return cls()

    @classmethod
    def for_loopback(cls) -> "Config":
        """Return settings for one machine (`zreg dev`, tests): the same leases, faster retries."""
        return cls(request_retry_seconds=0.5, reconnect_seconds_max=0.5)
