"""The clients of one session: their labels, their connection, and when they expire.

A client ends when it says Bye, when its connection has been closed for the grace, or when its lease
has expired. A client that comes back in time, over any connection, is the same client.
"""

import math
from collections import OrderedDict, deque
from typing import Final

from zreg.config import Config, Limits
from zreg.effects import Peer
from zreg.model import Cause, DataInfoId, Scope
from zreg.primitives.timing.deadlines import Deadlines
from zreg.primitives.timing.lease import LeaseTable
from zreg.wire.records.client_messages import Capability, Hello

# When more connections than this close within a second, and clients come back meanwhile, then the
# network was cut and the clients live: the rest of them gets more time.
_STORM_CLOSES: Final = 20
_STORM_SECONDS: Final = 1.0
_STORM_RETURN_SECONDS: Final = 0.5
# When a session loses its last connections within a second, and they were at least so many, then
# its own network failed, or what stands before it: all these clients may live.
_TOTAL_LOSS_CLOSES: Final = 3

# Events of before a stall of this process may be handled so long after it.
_STALL_EVENTS_SECONDS: Final = 1.0

# The least time between two judgements of closed clients, so that those of one moment end together.
_JUDGE_SECONDS: Final = 0.05
# How many closed clients one judgement looks at; thousands may be closed at once.
_JUDGED_MAX: Final = 256

SubscriptionKey = tuple[DataInfoId, Scope]


class Client:
    """One client, connected or in its grace."""

    __slots__ = (
        "app",
        "can_move",
        "client_id",
        "closed_at",
        "data_center",
        "grace_seconds",
        "heard_at",
        "host",
        "is_moving",
        "peer",
        "publisher_ids",
        "pushes_max",
        "replayed_count",
        "since",
        "subscription_keys",
        "unreplayed_publisher_ids",
        "unreplayed_subscription_keys",
        "zone",
    )

    def __init__(self, client_id: bytes, *, since: float = 0.0) -> None:
        self.client_id = client_id
        # When it came to this session.
        self.since = since
        self.peer: Peer | None = None
        self.app = self.zone = self.data_center = ""
        # The address from which it is connected, or was last; empty if that is not known.
        self.host = ""
        self.closed_at: float | None = None
        self.grace_seconds = 0.0
        # It said that it goes to another session, or this session sent it there.
        self.is_moving = False
        # Whether it goes to another session when it is asked to.
        self.can_move = False
        # How many pushes of one subscription it takes without an acknowledgement.
        self.pushes_max = 1
        # How many publications its replay has named so far; None if no replay is under way.
        self.replayed_count: int | None = None
        # When its lease was renewed last: once a turn, however many messages it sends.
        self.heard_at = -1.0
        # Dicts keep the order, so the effects for each entry come in a defined one.
        self.publisher_ids: dict[bytes, None] = {}
        self.subscription_keys: dict[SubscriptionKey, None] = {}
        self.unreplayed_publisher_ids: dict[bytes, None] = {}
        self.unreplayed_subscription_keys: dict[SubscriptionKey, None] = {}

    def __repr__(self) -> str:
        """Show the id and the sizes."""
        return (
            f"<Client {self.client_id.hex()[:8]} publishers={len(self.publisher_ids)} "
            f"subscriptions={len(self.subscription_keys)}>"
        )

    @property
    def may_be_asked(self) -> bool:
        """Whether it can move, does not move yet, and has replayed what it wants."""
        return self.can_move and not self.is_moving and self.replayed_count is None

    def expect_replay(self) -> None:
        """Mark all that the client published and subscribed as not replayed yet."""
        self.replayed_count = 0
        self.unreplayed_publisher_ids = dict(self.publisher_ids)
        self.unreplayed_subscription_keys = dict(self.subscription_keys)


class ClientTable:
    """Clients by connection and by id. Times are monotonic seconds.

    Invariant: a client either has a connection, and a lease, or is in `_closed` and has a deadline
    in `_graces`, at which it is judged.
    """

    def __init__(self, config: Config, *, now: float) -> None:
        self._config = config
        self._by_id: dict[bytes, Client] = {}
        # In the order in which `rotate` returns them.
        self._by_peer: OrderedDict[Peer, Client] = OrderedDict()
        # The host of each connection, also of those that have said no Hello.
        self._hosts: dict[Peer, str] = {}
        self._leases: LeaseTable[bytes] = LeaseTable(config.lease_seconds, now=now)
        self._closed: dict[bytes, Client] = {}
        self._graces: Deadlines[bytes] = Deadlines()
        self._closes: deque[float] = deque(maxlen=_STORM_CLOSES + 1)
        self._is_storm = False
        self._returned_at = -_STORM_SECONDS
        # When this session lost all its clients at once.
        self._lost_all_at = -math.inf
        self._judged_at = -math.inf
        # The last one of those that the last look found silent.
        self._last_silent: Client | None = None
        # When the last stall of this process ended.
        self._stalled_until = -math.inf

    def __len__(self) -> int:
        """Return how many clients there are, those in their grace included."""
        return len(self._by_id)

    @property
    def is_full(self) -> bool:
        """Whether a new client has to be sent to another session."""
        return len(self._by_id) >= self._config.clients_max

    @property
    def connected_count(self) -> int:
        """How many clients are connected."""
        return len(self._by_peer)

    def rotate(self) -> Client:
        """Return the connected client that was not returned for the longest time."""
        peer = next(iter(self._by_peer))
        self._by_peer.move_to_end(peer)
        return self._by_peer[peer]

    def all(self) -> list[Client]:
        """Return all clients, oldest first."""
        return list(self._by_id.values())

    def of_peer(self, peer: Peer) -> Client | None:
        """Return the client behind a connection."""
        return self._by_peer.get(peer)

    def of_id(self, client_id: bytes) -> Client | None:
        """Return the client with an id."""
        return self._by_id.get(client_id)

    def note_host(self, peer: Peer, host: str) -> None:
        """Note from which host a connection comes, until it is gone."""
        self._hosts[peer] = host

    def renew(self, client: Client, now: float) -> None:
        """Renew the lease of a client: there was a sign of life."""
        self._leases.renew(client.client_id, now)

    def greet(self, peer: Peer, hello: Hello, now: float) -> tuple[Client, Peer | None]:
        """Take a Hello; return the client, and its former connection if that was another one."""
        client = self._by_id.get(hello.client_id)
        if client is None:
            client = self._by_id[hello.client_id] = Client(hello.client_id, since=now)
        elif client.closed_at is not None:
            self._returned_at = now
        host = self._hosts.get(peer, "")
        former = client.peer if client.peer != peer else None
        if former is not None:
            self._by_peer.pop(former, None)
            self._hosts.pop(former, None)
        # A connection belongs to the client that said Hello on it last.
        previous = self._by_peer.get(peer)
        if previous is not None and previous is not client:
            self.close(peer, now)
        client.peer = peer
        client.host = self._hosts[peer] = host
        client.closed_at = None
        client.is_moving = False
        self._reopen(client.client_id)
        is_gathering = hello.capabilities & Capability.GATHERED_ACKS
        client.pushes_max = Limits.pushes_in_flight_max if is_gathering else 1
        client.can_move = bool(hello.capabilities & Capability.MOVES)
        client.app = hello.app
        client.zone = hello.zone or self._config.zone
        client.data_center = hello.data_center or self._config.data_center
        client.expect_replay()
        self._by_peer[peer] = client
        self._leases.renew(client.client_id, now)
        return client, former

    def close(self, peer: Peer, now: float, *, is_meta_away: bool = False) -> Client | None:
        """Note that a connection is gone; return its client, which has a grace to come back.

        `is_meta_away`: the client may be at a session that cannot register it before meta is back.
        """
        self._hosts.pop(peer, None)
        client = self._by_peer.pop(peer, None)
        if client is None:
            return None
        client.peer = None
        client.closed_at = now
        client.grace_seconds = self._config.disconnect_grace_seconds
        if client.is_moving or is_meta_away or self._is_after_stall(now):
            # Clients leave a session that is stopped, slow, or sends them away, so they may live
            # at another one: that their connections are closed is no evidence that they are gone.
            client.grace_seconds = self._config.session_grace_seconds
        self._closed[client.client_id] = client
        self._graces.set(client.client_id, now + client.grace_seconds)
        self._leases.drop(client.client_id)
        self._closes.append(now)
        if len(self._closes) > _STORM_CLOSES and now - self._closes[0] <= _STORM_SECONDS:
            self._is_storm = True
        return client

    def judge_total_loss(self, now: float) -> int:
        """Give the clients more time that this session has lost at once, if they were all it had.

        Returns how many that are.
        """
        closes, grace_seconds = self._closes, self._config.session_grace_seconds
        if self._by_peer or len(closes) < _TOTAL_LOSS_CLOSES:
            return 0
        if now - closes[-_TOTAL_LOSS_CLOSES] > _STORM_SECONDS:
            return 0
        since, count = max(self._lost_all_at, now - _STORM_SECONDS), 0
        for client in reversed(self._closed.values()):
            assert client.closed_at is not None
            if client.closed_at < since:
                break
            client.grace_seconds = grace_seconds
            self._graces.set(client.client_id, client.closed_at + grace_seconds)
            count += 1
        self._lost_all_at = now
        return count

    def send_away(self) -> list[Peer]:
        """Note that this session sends its clients away; return their connections."""
        for client in self._by_peer.values():
            client.is_moving = True
        return list(self._by_peer)

    def remove(self, client: Client) -> None:
        """Forget a client."""
        self._by_id.pop(client.client_id, None)
        self._reopen(client.client_id)
        self._leases.drop(client.client_id)
        if client.peer is not None:
            self._by_peer.pop(client.peer, None)
            self._hosts.pop(client.peer, None)

    def expired(self, now: float) -> list[tuple[Client, Cause]]:
        """Return clients whose lease or grace has expired, each with the cause of its end.

        They stay in the table until they are removed, and are returned again until then. There may
        be more: `next_tick_at` says when to call this again.
        """
        stall_count = self._leases.stall_count
        silent = [(self._by_id[key], Cause.SILENT) for key in self._leases.expired(now)]
        self._last_silent = silent[-1][0] if silent else None
        if self._leases.stall_count > stall_count:
            # This process stalled: clients that came back meanwhile may not have been heard yet.
            self._stalled_until = now
            for client in self._closed.values():
                client.closed_at = now
                client.grace_seconds = self._config.session_grace_seconds
                self._graces.set(client.client_id, now + client.grace_seconds)
        closed = [(client, Cause.CLOSED) for client in self._take_ended(now)]
        if not self._closed:
            self._is_storm = False
        return silent + closed

    def _take_ended(self, now: float) -> list[Client]:
        """Return the closed clients whose grace has ended; judge those of a storm again later."""
        self._judged_at = now
        ended: list[Client] = []
        storm_grace_seconds = self._storm_grace_seconds(now)
        for client_id in self._graces.take_due(now, _JUDGED_MAX):
            client = self._closed[client_id]
            assert client.closed_at is not None
            if now >= client.closed_at + max(client.grace_seconds, storm_grace_seconds):
                ended.append(client)
                # Until the caller removes it, it is judged again.
                self._graces.set(client_id, now)
            else:
                # The storm ends at this time, unless more clients come back.
                storm_ends_at = self._returned_at + _STORM_RETURN_SECONDS
                self._graces.set(client_id, max(storm_ends_at, now + _JUDGE_SECONDS))
        return ended

    def _reopen(self, client_id: bytes) -> None:
        self._closed.pop(client_id, None)
        self._graces.drop(client_id)

    def _is_after_stall(self, now: float) -> bool:
        """Return whether this process has just stalled, whether `expired` has noticed or not."""
        is_noticed = now - self._stalled_until <= _STALL_EVENTS_SECONDS
        return is_noticed or self._leases.is_stalled(now)

    def _storm_grace_seconds(self, now: float) -> float:
        """Return the grace of all closed clients while others come back after a cut."""
        is_storm = self._is_storm and now - self._returned_at <= _STORM_RETURN_SECONDS
        return self._config.session_grace_seconds if is_storm else 0.0

    def next_tick_at(self) -> float:
        """Return when `expired` has to be called."""
        leases_at, grace_at = self._leases.next_look_at(), self._graces.next_at()
        if self._last_silent is not None and self._last_silent.client_id in self._leases:
            return self._judged_at
        if grace_at is None:
            return leases_at
        if grace_at <= self._judged_at:
            # It has ended and was not removed, or was not looked at.
            return self._judged_at
        return min(leases_at, max(grace_at, self._judged_at + _JUDGE_SECONDS))

    @property
    def stall_count(self) -> int:
        """How often this process stalled for so long that no client was judged."""
        return self._leases.stall_count
