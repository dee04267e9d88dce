"""The errors of zreg and the wire code of each refusal.

The class says whose fault it is: `UsageError` the caller's, `PeerError` a peer's,
`UnavailableError` the network's. A `RefusedError` is an answer: the receiver understood the request
and refused it with a code. Codes are part of the protocol (docs/protocol.md) and never change their
meaning.
"""

import builtins
from typing import ClassVar


class Error(Exception):
    """The base of every error that zreg raises on purpose."""


class UsageError(Error, ValueError):
    """The caller passed an argument that can never work; the text says what to pass instead."""


class UnavailableError(Error):
    """No node that could answer was reached."""


class TimeoutError(Error, builtins.TimeoutError):  # noqa: A001 -- a subclass of the built-in
    """A wait timed out; the text says what the wait was for and what prevented it."""


class NoInstanceError(Error, LookupError):
    """A service has no instance to pick."""


class ClosedError(Error):
    """The client was closed, or belongs to the parent of this forked process."""


class PeerError(Error):
    """A peer sent bytes that break the protocol. The receiver answers with `code` and counts it."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class RefusedError(Error):
    """A node refused a request: `code` is the number on the wire, `detail` a text for people."""

    code: ClassVar[int] = 1

    def __init__(self, detail: str, *, code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code  # type: ignore[misc]  # the number of an unknown code


class DeniedError(RefusedError):
    """The request is not allowed; the same request will be refused again."""

    code: ClassVar[int] = 2


class NotPrimaryError(RefusedError):
    """This data node is not the primary of the id: compare epochs and route the request again."""

    code: ClassVar[int] = 3


class LimitError(RefusedError):
    """A limit was reached; the detail names it."""

    code: ClassVar[int] = 4


class NotReadyError(RefusedError):
    """The node is starting, catching up or not sure of its answer: send the request again later."""

    code: ClassVar[int] = 5


class MalformedError(RefusedError):
    """A frame or record could not be decoded or exceeds a limit of the protocol."""

    code: ClassVar[int] = 6


class UnknownMessageError(RefusedError):
    """A record has a tag that this node does not know or does not take on this link."""

    code: ClassVar[int] = 7


class SessionGoneError(RefusedError):
    """The publisher's session incarnation is not a member any more; the session must join again."""

    code: ClassVar[int] = 8


class NodeIdInUseError(RefusedError):
    """Another living process uses this node id."""

    code: ClassVar[int] = 9


class ForeignClusterError(RefusedError):
    """The peer belongs to another cluster."""

    code: ClassVar[int] = 10


class ProtocolVersionError(RefusedError):
    """The peer uses a protocol version that this node does not support."""

    code: ClassVar[int] = 11


class UnknownNodeError(RefusedError):
    """Meta does not know this incarnation: the node must join again."""

    code: ClassVar[int] = 13


class NotLeaderError(RefusedError):
    """This meta node is not the leader; the refusal has the leader's address if it is known."""

    code: ClassVar[int] = 14


class VersionMismatchError(RefusedError):
    """The value has another version now than the request to change it expected."""

    code: ClassVar[int] = 15


# Code 12 is reserved: sessions refused unidentified clients with it before there was WhoAreYou.
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
        UnknownNodeError,
        NotLeaderError,
        VersionMismatchError,
    )
}


def refusal(code: int, detail: str) -> RefusedError:
    """Return the exception for a code from the wire; for an unknown code, one with its number."""
    known = REFUSALS.get(code)
    return known(detail) if known else RefusedError(detail, code=code)
