"""What the calls of gRPC have in common on threads and on an event loop."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final, Generic

import msgspec

from zreg.client.balancing.choosers.key_slots import Key
from zreg.client.balancing.policy import BalancingOptions
from zreg.errors import NoInstanceError
from zreg.integrations.attempts import Attempts
from zreg.integrations.service_table import S

try:
    import grpc
except ImportError as error:
    raise ImportError("zreg.integrations.grpc needs grpcio: pip install grpcio") from error

# What an instance is blamed for. With any other code it has answered.
_FAILURES: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
# The details of gRPC for a request that it has not sent. Were they to change, such calls would fail
# in place of being repeated.
_NOT_SENT: Final = "failed to connect to all addresses"


class CallRules(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are repeated; the fields of `RpcOptions` that are not those of a service."""

    retries: int = 2
    idempotent_methods: Collection[str] = ()
    wait_seconds: float = 5.0
    key: Callable[[Any], Key | None] | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the rules."""
        return cls.__struct_fields__


class RpcOptions(BalancingOptions, total=False):
    """The keywords of `channel`; those of `Client.service` among them."""

    # How many further instances a call may try.
    retries: int
    # Full names (`/orders.Orders/Get`) of what an instance may carry out twice.
    idempotent_methods: Collection[str]
    # How long the first call waits for an instance.
    wait_seconds: float
    # Called with the request; the owner of the key gets the call. A stream of requests has no key.
    key: Callable[[Any], Key | None]


class NoInstanceRpcError(grpc.RpcError, NoInstanceError):
    """A service has no instance to pick: an error of gRPC with the code UNAVAILABLE."""

    def code(self) -> grpc.StatusCode:
        """Return the code."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Return what is in the way."""
        return str(self)


class BalancedCalls(Generic[S]):
    """The service, and what becomes of its calls."""

    def __init__(self, service: S, rules: CallRules) -> None:
        self.service: S = service
        self.rules = rules
        # Only the first call waits for an instance.
        self.was_awaited = False

    @property
    def is_up(self) -> bool:
        """Whether an instance gets calls."""
        return any(each.weight for each in self.service.endpoints)

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses of all instances."""
        return frozenset(each.address for each in self.service.endpoints)

    def begin(self, method: str, request: object) -> Attempts:
        """Begin a call; raise an error of gRPC if there is no instance."""
        rules = self.rules
        try:
            return Attempts(
                self.service,
                retries=rules.retries,
                is_repeatable=method in rules.idempotent_methods,
                key=None if rules.key is None or request is None else rules.key(request),
            )
        except NoInstanceError as error:
            raise NoInstanceRpcError(str(error)) from error


def end(attempts: Attempts, code: grpc.StatusCode, *, is_stream: bool) -> None:
    """Note how a call ended. A stream lasts as long as it likes, so its time says nothing."""
    if code in _FAILURES:
        attempts.fail()
    elif is_stream or code is grpc.StatusCode.CANCELLED:
        attempts.give_up()
    else:
        attempts.succeed()


def goes_on(attempts: Attempts, code: grpc.StatusCode, details: str | None) -> bool:
    """Note that a call failed; return whether it goes on to another instance."""
    if code is grpc.StatusCode.UNAVAILABLE:
        return attempts.go_on(was_sent=_NOT_SENT not in (details or ""))
    end(attempts, code, is_stream=False)
    return False


class Deadline:
    """The time that a call has left: all of its attempts share it, as those of gRPC do."""

    __slots__ = ("_at",)

    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Return how many seconds are left; None for no limit."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())
