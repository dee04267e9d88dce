"""The errors of zreg, each saying whose fault it is, and the wire code of each refusal.

`UsageError` is the caller's, `PeerError` a peer's, `UnavailableError` the network's. A
`RefusedError` is an answer: the other side understood, and said no with a code. Codes are part of
the protocol (docs/protocol.md) and never change their meaning.
"""

import builtins
from typing import ClassVar


class Error(Exception):
    """The base of everything zreg raises on purpose."""


class UsageError(Error, ValueError):
    """The caller passed something that can never work; the text says what to pass instead."""


class UnavailableError(Error):
    """Nobody who could answer was reached."""


class TimeoutError(Error, builtins.TimeoutError):  # noqa: A001 -- it is the built-in one, and ours
    """A wait ended before what it waited for; the text says what stood in the way."""


class NoInstanceError(Error, LookupError):
    """A service has no instance to pick."""


class ClosedError(Error):
    """The client was closed, or belongs to the parent of this forked process."""


class PeerError(Error):
    """A peer sent bytes that break the protocol; `code` is what it is told and counted under."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class RefusedError(Error):
    """A node answered no. `code` is the number on the wire, `detail` a sentence for people."""

    code: ClassVar[int] = 1

    def __init__(self, detail: str, *, code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code  # type: ignore[misc]  # an unknown code keeps its number


class DeniedError(RefusedError):
    """Not allowed, and asking again will not help."""

    code: ClassVar[int] = 2


class NotPrimaryError(RefusedError):
    """This data node does not own the id in its membership; compare epochs and route again."""

    code: ClassVar[int] = 3


class LimitError(RefusedError):
    """A limit was reached; the detail names it."""

    code: ClassVar[int] = 4


class NotReadyError(RefusedError):
    """Not now: the node is starting, catching up, or cannot be sure; ask again."""

    code: ClassVar[int] = 5


class MalformedError(RefusedError):
    """A frame or record could not be decoded, or broke a limit of the wire."""

    code: ClassVar[int] = 6


class UnknownMessageError(RefusedError):
    """A record carried a tag that this node does not know."""

    code: ClassVar[int] = 7


class SessionGoneError(RefusedError):
    """The session incarnation that vouches is neither live nor in grace; it must join again."""

    code: ClassVar[int] = 8


class NodeIdInUseError(RefusedError):
    """Another living process holds this node id."""

    code: ClassVar[int] = 9


class ForeignClusterError(RefusedError):
    """The peer belongs to another cluster."""

    code: ClassVar[int] = 10


class ProtocolVersionError(RefusedError):
    """The peer speaks a protocol version that this node does not."""

    code: ClassVar[int] = 11


class UnknownClientError(RefusedError):
    """The session does not know this connection: say Hello and replay."""

    code: ClassVar[int] = 12


class UnknownNodeError(RefusedError):
    """Meta does not know this incarnation: join again."""

    code: ClassVar[int] = 13


class NotLeaderError(RefusedError):
    """This meta node does not lead; the refusal carries the address of the leader, if known."""

    code: ClassVar[int] = 14


class VersionMismatchError(RefusedError):
    """What is to be changed is not as it was when the change was decided."""

    code: ClassVar[int] = 15


REFUSALS: dict[int, type[RefusedError]] = {
    error.code: error
    for error in (
        RefusedError,
        DeniedError,
        NotPrimaryError,
        LimitError,
        NotReadyError,
        MalformedError,
        UnknownMessageError,
        SessionGoneError,
        NodeIdInUseError,
        ForeignClusterError,
        ProtocolVersionError,
        UnknownClientError,
        UnknownNodeError,
        NotLeaderError,
        VersionMismatchError,
    )
}


def refusal(code: int, detail: str) -> RefusedError:
    """Return the exception for a code from the wire; an unknown code keeps its number."""
    known = REFUSALS.get(code)
    return known(detail) if known else RefusedError(detail, code=code)
