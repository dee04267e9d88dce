"""Carry out the effects that make and end connections, and those that subscribe to topics."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from zreg.effects import (
    TIMED_OUT,
    Connect,
    Disconnect,
    Link,
    Listen,
    Local,
    Peer,
    PeerDelayed,
    Probe,
    Unlisten,
)
from zreg.errors import UnavailableError, UsageError
from zreg.hosts import is_ip_address
from zreg.reactor.link_table import check_address, split_address
from zreg.reactor.lookups.checks import Checks
from zreg.reactor.lookups.lookup_threads import LookupThreads
from zreg.reactor.outgoing.name_lookups import NameLookups, numeric_address
from zreg.reactor.outgoing.outbox import Outbox
from zreg.reactor.outgoing.send_results import SendResults
from zreg.reactor.sockets.peer_connections import (
    PeerConnection,
    SendingConnection,
)
from zreg.reactor.sockets.socket_options import LINGER_MILLISECONDS
from zreg.reactor.sockets.socket_set import (
    ConnectingLink,
    ListeningLink,
    SendingLinkSocket,
    SocketSet,
)
from zreg.tcp_address import bare_host

AnyConnectingLink = ConnectingLink[SendingConnection] | ListeningLink


class ConnectionWatcher(Protocol):
    """Watches the connections that are opened here."""

    def watch(self, connection: PeerConnection) -> None:
        """Begin to watch a connection that was opened."""
        ...

    def unwatch(self, connection: PeerConnection) -> None:
        """Stop watching a connection, which is closed next."""
        ...

    def wake(self) -> None:
        """Have a turn soon, which tells the core what became of an attempt."""
        ...


class NamedAttempt(NamedTuple):
    """An attempt at a name, and the addresses of it that were tried, the present one last."""

    effect: Connect
    host: str
    tried: tuple[str, ...]


class MisplacedEffectError(Exception):
    """The link table does not have the effect's link, or has it as another kind of socket."""


class ConnectionEffects:
    """Opens, closes and forgets connections; methods raise `MisplacedEffectError`."""

    def __init__(
        self,
        socket_set: SocketSet,
        sends: Outbox[SendingLinkSocket],
        results: SendResults,
        watcher: ConnectionWatcher,
        post: Callable[[Local], None],
    ) -> None:
        self._socket_set = socket_set
        self._connecting_links: dict[int, AnyConnectingLink] = {
            **socket_set.dealers,
            **socket_set.subs,
        }
        self._sends = sends
        self._results = results
        self._watcher = watcher
        self._post = post
        self._lookup_threads = LookupThreads()
        self._checks = Checks(self._lookup_threads, post)
        self._lookups = NameLookups(self._lookup_threads, self._on_looked_up)
        # The attempts that wait for the look-up of a name.
        self._unresolved: dict[tuple[Link, Peer], Connect] = {}
        # The attempts at names that have a connection, which is not up yet.
        self._named: dict[PeerConnection, NamedAttempt] = {}

    def stop(self) -> None:
        """End what is under way and has no socket."""
        self._checks.stop()
        self._lookups.stop()
        self._lookup_threads.stop()
        self._unresolved.clear()

    def connect(self, effect: Connect) -> None:
        """Open a connection, or begin a check of an address."""
        connecting_link = self._connecting_links.get(id(effect.link))
        if connecting_link is None:
            if effect.link not in self._socket_set.checks:
                raise MisplacedEffectError
            self._checks.begin(effect)
            return
        # A second Connect replaces the first, about which the core hears nothing more.
        self._drop(connecting_link, effect.peer)
        self._connect(effect)

    def disconnect(self, effect: Disconnect) -> None:
        """Send what this turn collected for the peer, then drop its connection or forget it."""
        link, peer = effect.link, effect.peer
        router = self._socket_set.routers.get(id(link))
        if router is not None:
            binding_link = self._socket_set.bound[id(link)]
            self._sends.flush_peer(binding_link, peer)
            self._sends.forget(binding_link, peer)
            if isinstance(peer, bytes):
                router.peers.forget(peer)
            return
        connecting_link = self._connecting_links.get(id(link))
        if connecting_link is None:
            raise MisplacedEffectError
        self._drop(connecting_link, peer)

    def listen(self, effect: Listen) -> None:
        """Subscribe to a topic."""
        subs = self._socket_set.subs.get(id(effect.link))
        if subs is None:
            raise MisplacedEffectError
        subs.listen(effect.topic)

    def unlisten(self, effect: Unlisten) -> None:
        """End the subscription to a topic."""
        subs = self._socket_set.subs.get(id(effect.link))
        if subs is None:
            raise MisplacedEffectError
        subs.unlisten(effect.topic)

    def probe(self, effect: Probe) -> None:
        """Ask for a probe of a peer of a ROUTER."""
        router = self._socket_set.routers.get(id(effect.link))
        if router is None or not isinstance(effect.peer, bytes):
            raise MisplacedEffectError
        router.peers.probe(effect.peer)

    def forget_routed(self, link: Link, peer: Peer) -> None:
        """Forget a peer of a ROUTER that is gone, and its backlog."""
        router = self._socket_set.routers.get(id(link))
        if router is not None and isinstance(peer, bytes):
            router.peers.forget(peer)
            self._sends.forget(self._socket_set.bound[id(link)], peer)

    def close(self, connection: PeerConnection, *, linger_milliseconds: int = 0) -> None:
        """Close a connection, and drop all that waits for it."""
        attempt = self._named.pop(connection, None)
        if attempt is not None and not connection.is_up:
            self._lookups.skip(attempt.host, attempt.tried[-1])
        self._watcher.unwatch(connection)
        self._connecting_links[id(connection.link)].remove(connection.peer)
        if isinstance(connection, SendingConnection):
            self._sends.close(connection)
        connection.close(linger_milliseconds)

    def close_ended(self, connection: PeerConnection) -> bool:
        """Close a connection that has ended; return whether the attempt goes on.

        It goes on with the next address of a name, of which the core knows nothing.
        """
        attempt = self._named.get(connection)
        self.close(connection)
        if attempt is None or connection.is_up or connection.lost_reason == TIMED_OUT:
            return False
        numeric = self._lookups.find(attempt.host)
        if numeric is None or numeric in attempt.tried:
            return False
        return self._open(attempt.effect, numeric, attempt.tried)

    def _drop(self, connecting_link: AnyConnectingLink, peer: Peer) -> None:
        """Close a connection after its socket has taken what this turn collected for it."""
        sending_link = self._socket_set.dealers.get(id(connecting_link.link))
        if sending_link is None:
            self._results.forget(connecting_link.link, peer)
        else:
            self._sends.flush_peer(sending_link, peer)
            self._sends.forget(sending_link, peer)
        self._unresolved.pop((connecting_link.link, peer), None)
        connection = connecting_link.find(peer)
        if connection is not None:
            self.close(connection, linger_milliseconds=LINGER_MILLISECONDS)

    def _connect(self, effect: Connect) -> None:
        """Open a connection now, or once the name in its address has been looked up."""
        try:
            check_address(effect.address, port_min=1)
        except UsageError as error:
            self._results.lost[effect.link, effect.peer] = str(error)
            return
        host = bare_host(effect.address)
        numeric = host if is_ip_address(host) else self._lookups.find(host)
        if numeric is None:
            self._unresolved[effect.link, effect.peer] = effect
            detail = f"{host} is still being looked up"
            self._post(PeerDelayed(effect.link, effect.peer, detail))
        else:
            self._open(effect, numeric, ())

    def _open(self, effect: Connect, numeric: str, tried: tuple[str, ...]) -> bool:
        """Open a connection to one address of the host; return whether that was possible."""
        host, (_, port) = bare_host(effect.address), split_address(effect.address)
        connecting_link = self._connecting_links[id(effect.link)]
        try:
            connection = connecting_link.open(effect.peer, numeric_address(numeric, port))
        except (UsageError, UnavailableError) as error:
            self._results.lost[effect.link, effect.peer] = str(error)
            # The core hears of it with the results of this turn's sends.
            return True
        if host != numeric:
            self._named[connection] = NamedAttempt(effect, host, (*tried, numeric))
        self._watcher.watch(connection)
        return True

    def _on_looked_up(self, host: str, failure: str) -> None:
        """Go on with the attempts that waited for a name."""
        for key, effect in list(self._unresolved.items()):
            if bare_host(effect.address) != host:
                continue
            del self._unresolved[key]
            if failure:
                self._results.lost[key] = failure
            else:
                self._connect(effect)
        self._watcher.wake()
