"""The metrics of each role: their names, and the statistic of the node that each shows.

The names follow the conventions of Prometheus: a unit at the end, and `_total` for what is counted.
docs/metrics.md has the same table; a test compares the two, and that no statistic is left out.
"""

from enum import Enum
from typing import Final

import msgspec


class Kind(Enum):
    """How a metric behaves: a counter only rises until the node ends."""

    COUNTER = "counter"
    GAUGE = "gauge"


class Metric(msgspec.Struct, frozen=True):
    """One line of `/metrics`; several lines of one name differ in their label.

    `statistic` is a name in the statistics of the node or of its HTTP server. One that a node does
    not have yet is 0.
    """

    name: str
    kind: Kind
    statistic: str
    meaning: str
    label: tuple[str, str] | None = None


def _counter(
    name: str, statistic: str, meaning: str, label: tuple[str, str] | None = None
) -> Metric:
    return Metric(name, Kind.COUNTER, statistic, meaning, label)


def _gauge(name: str, statistic: str, meaning: str) -> Metric:
    return Metric(name, Kind.GAUGE, statistic, meaning)


_DROPPED: Final = "Messages that a peer did not get"
_BAD: Final = "Received messages that could not be decoded, by code of the protocol"
_LAG: Final = "Time from a push until its client has confirmed it, of the last 256 that were timed"
_BUGS: Final = "Bugs in this node's own code"

OF_ALL: Final = (
    _gauge("zreg_node_epoch", "epoch", "Epoch of the membership that the node follows"),
    _counter("zreg_turns_total", "turns", "Turns of the reactor"),
    _counter("zreg_received_messages_total", "messages_in", "Received messages of peers"),
    _counter("zreg_received_records_total", "records_in", "Received records"),
    _counter("zreg_received_bytes_total", "bytes_in", "Received bytes of messages"),
    _counter("zreg_sent_messages_total", "messages_out", "Sent messages"),
    _counter("zreg_sent_records_total", "records_out", "Sent records"),
    _counter("zreg_sent_bytes_total", "bytes_out", "Sent bytes of messages"),
    _gauge("zreg_sockets", "connections", "Sockets that the node watches"),
    _gauge("zreg_routed_peers", "routed_peers", "Peers that are connected to this node"),
    _gauge("zreg_backlog_messages", "backlog_messages", "Messages that wait for slow peers"),
    _gauge("zreg_backlog_bytes", "backlog_bytes", "Bytes that wait for slow peers"),
    _gauge("zreg_slow_peers", "slow_peers", "Peers that do not read"),
    _counter("zreg_handshakes_failed_total", "handshakes_failed", "Handshakes that failed"),
    _counter(
        "zreg_unheard_broadcasts_total", "broadcasts_unheard", "Broadcasts without a subscriber"
    ),
    _counter(
        "zreg_unanswered_requests_total",
        "answered_for_core",
        "Requests on REP that the reactor answered for the core",
    ),
    *(
        _counter("zreg_dropped_messages_total", f"dropped_{why}", _DROPPED, ("reason", why))
        for why in ("absent", "broken", "gone", "slow")
    ),
    *(
        _counter("zreg_bad_messages_total", f"bad_{code}", _BAD, ("code", code))
        for code in ("6", "7", "10", "11")
    ),
    _counter(
        "zreg_bad_frames_total", "bad_frame_count", "Received messages with a wrong number of parts"
    ),
    *(
        _counter("zreg_internal_errors_total", f"{part}_errors", _BUGS, ("part", part))
        for part in ("core", "reactor", "event", "http")
    ),
    _counter("zreg_http_requests_total", "http_requests", "Answered HTTP requests"),
    _counter("zreg_http_bad_requests_total", "http_bad_requests", "HTTP requests beyond a limit"),
    _counter(
        "zreg_http_crowded_out_total",
        "http_crowded_out",
        "HTTP connections that gave way to newer ones",
    ),
    _counter("zreg_http_timeouts_total", "http_timeouts", "HTTP connections that took too long"),
    _gauge("zreg_http_watches", "http_watches", "Open watches"),
    _counter(
        "zreg_http_watches_dropped_total",
        "http_watches_dropped",
        "Watches that were closed because their readers did not read",
    ),
)

# Of a session and of a data node, which look for meta in the same way.
_OF_MEMBER: Final = (
    _gauge("zreg_announcements", "announcements", "Announcements of the LAN that are known"),
    _counter(
        "zreg_announcements_refused_total",
        "announcements_refused",
        "Announcements of the LAN that were not used",
    ),
)

OF_SESSION: Final = (
    *_OF_MEMBER,
    _gauge("zreg_session_clients", "clients", "Clients of the session"),
    _gauge(
        "zreg_session_publishers",
        "publishers",
        "Registrations that the session holds for its clients",
    ),
    _gauge("zreg_session_subscribers", "subscribers", "Subscriptions of its clients"),
    _gauge("zreg_session_followed_ids", "interests", "Ids that the session follows"),
    _gauge(
        "zreg_session_followed_ids_of_pages",
        "interests_of_pages",
        "Ids that the session follows because its pages showed them",
    ),
    _gauge(
        "zreg_session_pending_publishers",
        "pending",
        "Registrations that their data node has not accepted yet",
    ),
    _counter(
        "zreg_session_publishes_total",
        "publishes",
        "Publishers, and newer states of them, that clients registered",
    ),
    _counter(
        "zreg_session_withdrawals_total",
        "withdrawals",
        "Publishers that were withdrawn: by their clients, or because these are gone",
    ),
    _counter(
        "zreg_session_publishes_delayed_total",
        "publishes_delayed",
        "Times a client was told that its publication is stored and not accepted yet",
    ),
    _counter(
        "zreg_session_publishes_refused_total",
        "publishes_refused",
        "Registrations that data nodes refused for good",
    ),
    _counter("zreg_session_pushes_total", "pushes", "Pushes to clients"),
    Metric(
        "zreg_session_push_lag_seconds",
        Kind.GAUGE,
        "push_lag_p50_seconds",
        _LAG,
        ("percentile", "50"),
    ),
    Metric(
        "zreg_session_push_lag_seconds",
        Kind.GAUGE,
        "push_lag_p99_seconds",
        _LAG,
        ("percentile", "99"),
    ),
    _counter("zreg_session_fetches_total", "fetches", "Fetches of ids from data nodes"),
    _counter("zreg_session_gaps_total", "gaps", "Times hints were lost, and fetched again"),
    _counter("zreg_session_compares_total", "compares", "Comparisons of the versions of a bucket"),
    _counter("zreg_session_clients_off_total", "clients_off", "Clients that left or vanished"),
    _counter("zreg_session_clients_asked_total", "clients_asked", "Clients asked to move"),
    _counter("zreg_session_clients_moved_total", "clients_moved", "Clients that have moved"),
    _gauge("zreg_session_http_instances", "http_instances", "Instances that it holds over HTTP"),
    _counter(
        "zreg_session_http_instance_renewals_total",
        "http_instance_renewals",
        "Renewals over HTTP that wrote nothing",
    ),
    _counter(
        "zreg_session_http_instances_taken_total",
        "http_instances_taken",
        "Instances over HTTP that another session has taken over or withdrawn",
    ),
    _counter(
        "zreg_session_http_instances_off_total",
        "http_instances_off",
        "Instances over HTTP whose lease has ended",
    ),
    _counter("zreg_session_stalls_total", "stalls", "Stalls after which no client was judged"),
)

OF_DATA: Final = (
    *_OF_MEMBER,
    _gauge("zreg_data_ids", "datums", "Ids that the data node holds, copies included"),
    _gauge("zreg_data_publishers", "publishers", "Publishers of the ids of which it is primary"),
    _gauge("zreg_data_copied_publishers", "copied_publishers", "Publishers in its copies"),
    _gauge("zreg_data_sessions", "sessions", "Sessions that are connected to the data node"),
    _gauge(
        "zreg_data_unreconciled_sessions",
        "unreconciled",
        "Sessions with which it has not compared since the last change of data nodes",
    ),
    _gauge("zreg_data_ring_epoch", "ring_epoch", "Epoch of the last change of data nodes"),
    _gauge("zreg_data_copies_in_sync", "copies_in_sync", "Copies of its buckets that are in sync"),
    _gauge("zreg_data_copies_wanted", "copies_wanted", "Copies of its buckets that should be"),
    _gauge("zreg_data_repairs", "repairs", "Buckets whose copy here is filled or compared"),
    _gauge(
        "zreg_data_writes_waiting",
        "waiting_for_replicas",
        "Writes that wait for a replica's answer",
    ),
    _gauge("zreg_data_suspicions", "suspicions", "Removals that wait because they are suspicions"),
    _counter("zreg_data_hints_total", "hints", "Changes that were broadcast to sessions"),
    _counter("zreg_data_beats_total", "beats", "Beats that were broadcast to sessions"),
    _counter("zreg_data_refusals_total", "refusals", "Requests that the data node refused"),
    _counter(
        "zreg_data_publishers_refused_total",
        "publishers_refused",
        "New publishers that were refused beyond a limit",
    ),
    _counter(
        "zreg_data_replicas_late_total",
        "replicas_late",
        "Times a replica did not acknowledge in time",
    ),
    _counter("zreg_data_copies_fetched_total", "copies_fetched", "Ids that were copied here"),
    _counter("zreg_data_copies_offered_total", "copies_offered", "Ids offered to a primary"),
)

OF_META: Final = (
    _gauge("zreg_meta_sessions", "sessions", "Sessions that are WORKING"),
    _gauge("zreg_meta_data_nodes", "data_nodes", "Data nodes that are WORKING"),
    _gauge("zreg_meta_departed", "departed", "Sessions that departed and are not forgotten yet"),
    _gauge("zreg_meta_ring_epoch", "ring_epoch", "Epoch of the last change of data nodes"),
    _gauge("zreg_meta_settings", "settings", "Settings of the cluster"),
    _gauge("zreg_meta_leases", "leases", "Leases that this node keeps as the leader"),
    _counter("zreg_meta_renewals_total", "renewals", "Joins and renewals of leases, as the leader"),
    _counter("zreg_meta_stalls_total", "stalls", "Stalls after which no node was judged"),
    _gauge("zreg_meta_raft_term", "raft_term", "Term of Raft"),
    _gauge("zreg_meta_raft_commit_index", "raft_commit_index", "Last committed entry of Raft"),
    _gauge("zreg_meta_raft_last_index", "raft_last_index", "Last entry of Raft's log here"),
    _gauge("zreg_meta_raft_peers_up", "raft_peers_up", "Other meta nodes that are connected"),
    _counter(
        "zreg_meta_strange_messages_total",
        "strange_messages",
        "Decoded messages that do not belong at this node",
    ),
)

OF_ROLE: Final = {"session": OF_SESSION, "data": OF_DATA, "meta": OF_META}

# What the page shows besides statistics: name, kind and meaning.
OTHERS: Final = (
    ("zreg_node_info", Kind.GAUGE, "1; its labels say which node this is"),
    ("zreg_node_uptime_seconds", Kind.GAUGE, "How long the node has run"),
    ("zreg_node_ready", Kind.GAUGE, "1 if the node accepts work, as /readyz says, else 0"),
    ("zreg_node_problems", Kind.GAUGE, "1 for each problem that /healthz shows, by its code"),
    ("zreg_meta_is_leader", Kind.GAUGE, "1 if this meta node leads, else 0"),
)
