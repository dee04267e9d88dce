"""Check that work is proportional to what changed: records sent, effects and calls, by kind.

At rest a cluster sends signs of life and digests only. Their number depends on how many clients and
nodes there are and on the time, and not on how many ids, publishers and subscribers the nodes hold.
A change may add what it touches: see `Touched`.
"""

import math
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from zreg.config import Config, Limits

if TYPE_CHECKING:
    from zreg.testing.sim.observations.work_counts import WorkCounts

# A client looks at its lease 16 times in a lease, and pings. A node does that, beats and renews,
# and judges clients whose connections closed every 0.05 s.
_CLIENT_TICKS_PER_SECOND: Final = 8
_NODE_TICKS_PER_SECOND: Final = 30
# A tick that falls due while a core works off input, and one for a pause that has ended.
_TICKS_PER_RECORD: Final = 2
# Of a record on average: a beat has 1,024 numbers, a hint or a push one change.
_BYTES_PER_RECORD: Final = 2048
# Besides the records, a core logs, connects, listens, and tells the application.
_OTHER_EFFECTS_PER_RECORD: Final = 2


class Touched(NamedTuple):
    """What a change touches, in records that have to travel for it."""

    # Publishers that are registered, withdrawn, or registered again.
    publishers: int = 0
    # Subscriptions that are made, or made again.
    subscriptions: int = 0
    # Subscribers to the ids that change visibly, once for each change.
    shown: int = 0
    # Ids with a visible change, once for each change.
    hinted: int = 0
    # Pairs of a session and an id that the session has to fetch: it is new there, or has moved.
    fetched: int = 0
    # Records of publishers that these fetches may bring, at most.
    snapshot_parts: int = 0
    # Clients that connect.
    connections: int = 0
    # Changes of the membership.
    memberships: int = 0
    # Questions of pages, which touch no publisher and no subscriber.
    questions: int = 0
    # Ids that sessions follow for pages alone; each may end, a while after it was asked for last.
    followed_for_pages: int = 0


# Records between the copies of a bucket that are short.
_BETWEEN_COPIES: Final = (
    "Replicate",
    "Replicated",
    "BucketDigests",
    "BucketsCompared",
    "FetchBucket",
    "FetchCopies",
)
_BYTES_BETWEEN_COPIES: Final = 256
# The digests of all buckets, at most.
_BYTES_PER_DIGESTS: Final = 20 << 10


class WorkChecker:
    """Compares the work of a span of time with the bound that follows from what was touched."""

    def __init__(self, config: Config, *, sessions: int, data_nodes: int) -> None:
        self._config = config
        self._sessions = sessions
        self._data_nodes = data_nodes

    def violations(
        self, work: "WorkCounts", touched: Touched, *, seconds: float, clients: int
    ) -> list[str]:
        """Return a line for each kind of work above its bound."""
        allowed = self._at_rest(seconds, clients)
        allowed += self._for_change(touched) + self._for_memberships(touched)
        allowed += self._for_copies(touched) + self._for_questions(touched)
        found = [
            f"{count} {name} were sent, at most {allowed[name]} were expected"
            for name, count in sorted(work.messages.items())
            if count > allowed[name]
        ]
        records = work.messages.total()
        nodes = self._sessions + self._data_nodes + 1
        ticks = math.ceil(seconds + 1) * (
            clients * _CLIENT_TICKS_PER_SECOND + nodes * _NODE_TICKS_PER_SECOND
        )
        ticks += _TICKS_PER_RECORD * touched_records(touched, self._sessions)
        others = _OTHER_EFFECTS_PER_RECORD * touched_records(touched, self._sessions)
        # Each record of a turn is one effect; a broadcast is one for all its receivers.
        effects_max = records + others + nodes * math.ceil(seconds + 1)
        effects_max += touched.followed_for_pages
        between_copies = sum(work.messages[name] for name in _BETWEEN_COPIES)
        bytes_max = (records - between_copies) * _BYTES_PER_RECORD
        bytes_max += between_copies * _BYTES_BETWEEN_COPIES
        bytes_max += touched.snapshot_parts * Limits.part_bytes_max
        # Each bucket has so many copies, and the digests of all copies are compared each time.
        comparisons = math.floor(seconds / self._config.digest_seconds) + 1
        bytes_max += comparisons * (self._config.replica_count - 1) * _BYTES_PER_DIGESTS
        bytes_max += touched.memberships * self._data_nodes**2 * _BYTES_PER_DIGESTS
        for what, count, count_max in (
            ("ticks", work.calls["tick"], ticks),
            ("effects", work.effects.total(), effects_max),
            ("records received", work.calls["receive"], records + clients + nodes**2),
            ("bytes", work.carried["bytes"], bytes_max),
        ):
            if count > count_max:
                found.append(f"{count} {what}, at most {count_max} were expected")
        return found

    def _at_rest(self, seconds: float, clients: int) -> Counter[str]:
        """Return what signs of life and comparisons of digests cost, and what the sweep costs."""
        config = self._config
        sessions, data_nodes = self._sessions, self._data_nodes
        nodes = sessions + data_nodes

        def times(interval: float) -> int:
            return math.floor(seconds / interval) + 1

        pings = clients * times(config.ping_seconds)
        renewals = nodes * times(config.renew_seconds)
        digests = sessions * data_nodes * times(config.digest_seconds)
        # Once a minute a session compares each bucket that it listens to, in whole records.
        sweeps = sessions * data_nodes * 1024 * math.floor(seconds / config.sweep_seconds)
        return Counter(
            Ping=pings,
            Pong=pings,
            Renew=renewals,
            Renewed=renewals,
            MembershipChanged=nodes * times(config.beat_seconds),
            Beat=sessions * data_nodes * times(config.beat_seconds),
            CompareDigest=digests,
            DigestCompared=digests,
            BucketDigests=data_nodes * (data_nodes - 1) * times(config.digest_seconds),
            BucketsCompared=data_nodes * (data_nodes - 1) * times(config.digest_seconds),
            CompareVersions=sweeps,
            Versions=sweeps,
        )

    def _for_change(self, touched: Touched) -> Counter[str]:
        """Return what a change costs; the names are those of the records of the protocol."""
        sessions, data_nodes = self._sessions, self._data_nodes
        nodes = sessions + data_nodes
        memberships, connections = touched.memberships, touched.connections
        digests = memberships * sessions * data_nodes * 2
        # A session tells data nodes once of each window that more than it wait, and that all came.
        waits = touched.publishers // Limits.client_window * data_nodes
        compared = memberships * sessions * data_nodes * min(1024, touched.fetched)
        answers = touched.publishers + touched.subscriptions
        pushes = touched.shown + touched.subscriptions + touched.snapshot_parts
        return Counter(
            # A client's way in: greeting, replay, answers.
            Hello=connections,
            Welcome=connections,
            ReplayDone=connections,
            WhoAreYou=connections,
            Bye=connections,
            Publish=touched.publishers,
            Unpublish=touched.publishers,
            Subscribe=touched.subscriptions,
            Unsubscribe=touched.subscriptions,
            # The acceptance of the data node, and that of the session; many share one record.
            Accepted=2 * answers,
            PublishDatum=touched.publishers,
            UnpublishDatum=touched.publishers,
            # One hint for each session that listens, one push for each subscriber.
            Changed=touched.hinted * sessions,
            Push=pushes,
            PushAck=touched.shown + touched.subscriptions,
            # Fetches: of what is new at a session.
            FetchChanges=touched.fetched,
            Changes=touched.fetched,
            Snapshot=touched.fetched + touched.snapshot_parts,
            # While the nodes learn of a new ring.
            Refused=memberships * (nodes + touched.fetched + touched.publishers),
            Beat=digests,
            WritesWait=waits,
            CompareDigest=digests + waits,
            DigestCompared=digests + waits,
            CompareVersions=compared,
            Versions=compared,
        )

    def _for_memberships(self, touched: Touched) -> Counter[str]:
        """Return what new memberships cost: an announcement, a fetch, an answer for each node."""
        sessions, data_nodes = self._sessions, self._data_nodes
        memberships, nodes = touched.memberships, sessions + data_nodes
        return Counter(
            MembershipChanged=memberships * nodes,
            FetchMembership=2 * memberships * nodes,
            MembershipChanges=memberships * nodes,
            MembershipReply=2 * memberships * nodes,
            ReportGone=memberships * (nodes + data_nodes),
            NodeHello=memberships * sessions * data_nodes,
            Join=memberships,
        )

    def _for_questions(self, touched: Touched) -> Counter[str]:
        """Return what questions of pages cost: what is asked of other nodes, and what is fetched.

        No record of a publication, a hint or a push is among it.
        """
        questions, data_nodes = touched.questions, self._data_nodes
        asked = (
            "FetchMetaNodes",
            "MetaNodesReply",
            "FetchSettings",
            "SettingsReply",
            "FetchEvents",
            "EventsReply",
            "FetchStatistics",
            "StatisticsReply",
            "FindInstances",
            "InstancesFound",
            "FindClients",
            "ClientsFound",
            "Refused",
        )
        return Counter(dict.fromkeys(asked, questions)) + Counter(
            ListDatums=questions * data_nodes,
            DatumsListed=questions * data_nodes,
            # An id that is not followed yet: it is fetched, compared, and fetched if it has moved.
            FetchChanges=3 * questions,
            Changes=3 * questions,
            Snapshot=3 * questions,
            CompareVersions=questions,
            Versions=questions,
        )

    def _for_copies(self, touched: Touched) -> Counter[str]:
        """Return what a change costs between data nodes, and what a new ring copies."""
        data_nodes, memberships = self._data_nodes, touched.memberships
        # Each primary with each of its replicas; a new ring may give each a copy of each bucket.
        pairs = data_nodes * (data_nodes - 1)
        replicated = (touched.publishers + touched.hinted) * (data_nodes - 1)
        filled = memberships * pairs * min(1024, touched.publishers)
        return Counter(
            NodeHello=memberships * pairs,
            Replicate=replicated,
            Replicated=replicated,
            BucketDigests=memberships * 2 * pairs + filled + replicated,
            BucketsCompared=memberships * 2 * pairs + filled + replicated,
            FetchBucket=filled,
            DatumDigests=filled,
            FetchCopies=filled,
            DatumCopy=memberships * touched.publishers + touched.snapshot_parts,
            OfferCopy=memberships * touched.publishers,
        )


def touched_records(touched: Touched, sessions: int) -> int:
    """Return how many records travel for a change, roughly."""
    return (
        4 * (touched.publishers + touched.subscriptions + touched.fetched)
        + 2 * touched.shown
        + sessions * touched.hinted
        + touched.snapshot_parts
        + 8 * touched.connections
        + 100 * touched.memberships
        # A page asks all data nodes and gets their answers; a search and a datum take ticks.
        + 16 * touched.questions
    )
