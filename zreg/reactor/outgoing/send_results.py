"""Sockets and links as senders see them, and what sending found out about peers."""

from typing import Protocol, TypeVar

from zreg.effects import Link, Peer
from zreg.reactor.sockets.backlog import Backlog, Outcome


class SendingSocket(Protocol):
    """A socket that sends, without waiting."""

    @property
    def backlogs(self) -> dict[Peer, Backlog]:
        """The messages that wait, by peer."""
        ...

    def send(self, peer: Peer, header: bytes, frame: bytes) -> Outcome:
        """Hand one message to the socket."""
        ...


SocketT = TypeVar("SocketT", bound=SendingSocket)
SocketT_co = TypeVar("SocketT_co", bound=SendingSocket, covariant=True)
SocketT_contra = TypeVar("SocketT_contra", bound=SendingSocket, contravariant=True)


class SendingLink(Protocol[SocketT_co]):
    """A link that sends."""

    @property
    def link(self) -> Link:
        """Which link it is."""
        ...

    def socket_to(self, peer: Peer) -> SocketT_co | None:
        """Return the socket that reaches the peer, or None if the peer is not connected."""
        ...


class UsedSockets(Protocol[SocketT_contra]):
    """The sockets that the turn polls once more before it ends: the keys of a dictionary."""

    def __setitem__(self, socket: SocketT_contra, value: None, /) -> None:
        """Note a socket that has sent: sending can swallow the wake-up for its input."""
        ...


class SendResults:
    """What sending found out about peers.

    The next turn tells the core: a core is never called while its effects are carried out.
    """

    def __init__(self) -> None:
        # Peers found gone, and why.
        self.lost: dict[tuple[Link, Peer], str] = {}
        # Peers whose backlog overflowed.
        self.slow: dict[tuple[Link, Peer], None] = {}

    def forget(self, link: Link, peer: Peer) -> None:
        """Drop what the core would be told about a peer."""
        self.lost.pop((link, peer), None)
        self.slow.pop((link, peer), None)
