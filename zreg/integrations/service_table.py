"""The services that an HTTP client calls by name, and what it calls a service."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from zreg.client.aio.async_client import AsyncClient
from zreg.client.aio.async_service import AsyncService
from zreg.client.api import Client
from zreg.client.balancing.choosers.key_slots import Key
from zreg.client.balancing.policy import BalancingOptions
from zreg.client.service import Service
from zreg.errors import UsageError
from zreg.integrations.attempts import Attempts, is_idempotent
from zreg.model import Scope

if TYPE_CHECKING:
    from typing import Unpack

    from zreg.client.view.endpoint import Endpoint

S = TypeVar("S", Service, AsyncService)
# A program that calls names from outside must not follow ids without limit.
_SERVICES_MAX: Final = 1000
_SCHEMES: Final = ("http", "https")
_SCHEME: Final = "zreg"


class CallOptions(BalancingOptions, total=False):
    """The keywords of each HTTP integration; those of `Client.service` among them."""

    # Which hosts are services: `orders.zreg` is the service `orders`.
    suffix: str
    # How many further instances a call may try.
    retries: int
    # An answer with one of these statuses is a failure of the instance.
    failure_statuses: Collection[int]
    # Whether the instance gets the name of the service as Host, or its own address.
    keep_host: bool
    # How long the first call to a service waits for its instances.
    wait_seconds: float
    # Called with the request of the library; the owner of the key gets the call.
    key: Callable[[Any], Key | None]
    scope: Scope
    group: str


class Target(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str
    port: int


class ServiceTable(Generic[S]):
    """The services by name; each is followed from its first call on. Any thread may use it."""

    def __init__(self, follow: Callable[..., S], **options: "Unpack[CallOptions]") -> None:
        self._follow: Callable[..., S] = follow
        self._suffix = options.pop("suffix", ".zreg").lower()
        self._retries = options.pop("retries", 2)
        self._failure_statuses = frozenset(options.pop("failure_statuses", (502, 503, 504)))
        self.keep_host = options.pop("keep_host", True)
        self.wait_seconds = options.pop("wait_seconds", 5.0)
        self._key = options.pop("key", None)
        if not self._suffix.startswith("."):
            raise UsageError(f"suffix {self._suffix!r:.80} cannot be used: begin it with a dot")
        retries: object = self._retries
        if not isinstance(retries, int) or retries < 0:
            raise UsageError(f"retries {retries!r:.80} cannot be used: give a number from 0 on")
        # What is left are the options of `Client.service`, which checks them.
        self._options = options
        self._services: dict[str, S] = {}
        # The services whose first call has waited for an instance, with or without success.
        self._awaited: set[str] = set()

    def name_of(self, scheme: str, host: str) -> str | None:
        """Return the service that a url names; None if it is a host as any other."""
        if host.endswith(self._suffix):
            return host.removesuffix(self._suffix) or None
        return host if scheme == _SCHEME else None

    def find(self, name: str) -> S:
        """Return the service; the first time nothing is known of it yet."""
        service = self._services.get(name)
        if service is not None:
            return service
        if len(self._services) >= _SERVICES_MAX:
            raise UsageError(
                f"{_SERVICES_MAX} services are followed already: do not take names of services "
                "from outside, or make another transport"
            )
        # Without a lock, which a thread of the parent of a forked child may have held.
        service = self._follow(name, **self._options)
        kept = self._services.setdefault(name, service)
        if kept is not service:
            service.close()
        return kept

    def was_awaited(self, name: str) -> bool:
        """Return whether a call has waited for the first instance of the service."""
        return name in self._awaited

    @contextmanager
    def awaiting(self, name: str) -> Iterator[None]:
        """Note that a call waits here; calls that begin when it is over do not wait any more."""
        try:
            yield
        finally:
            self._awaited.add(name)

    def begin(self, service: S, request: object, method: str, *, is_body_left: bool) -> Attempts:
        """Begin a call; `is_body_left`: the body can be sent again after it was sent."""
        return Attempts(
            service,
            retries=self._retries,
            is_repeatable=is_body_left and is_idempotent(method),
            key=None if self._key is None else self._key(request),
        )

    def is_failure(self, status: int) -> bool:
        """Return whether an answer with this status says that the instance cannot serve."""
        return status in self._failure_statuses

    def close(self) -> None:
        """End the subscriptions."""
        while self._services:
            self._services.popitem()[1].close()


def services_of(client: Client, **options: "Unpack[CallOptions]") -> ServiceTable[Service]:
    """Return the services that a client on threads follows."""
    if not isinstance(client, Client):
        raise UsageError(f"{client!r:.80} cannot be used here: give a zreg.Client")
    return ServiceTable(client.service, **options)


def async_services_of(
    client: AsyncClient, **options: "Unpack[CallOptions]"
) -> ServiceTable[AsyncService]:
    """Return the services that a client on an event loop follows."""
    if not isinstance(client, AsyncClient):
        raise UsageError(f"{client!r:.80} cannot be used here: give a zreg.AsyncClient")
    return ServiceTable(client.service, **options)


def ready_service(services: ServiceTable[Service], name: str) -> Service:
    """Return the service; the first time, wait until it has an instance."""
    service = services.find(name)
    if not services.was_awaited(name):
        with services.awaiting(name):
            service.wait_up(timeout_seconds=services.wait_seconds)
    return service


async def ready_async_service(services: ServiceTable[AsyncService], name: str) -> AsyncService:
    """Return the service; the first time, wait until it has an instance."""
    service = services.find(name)
    if not services.was_awaited(name):
        with services.awaiting(name):
            await service.wait_up(timeout_seconds=services.wait_seconds)
    return service


def target_of(endpoint: "Endpoint", scheme: str) -> Target:
    """Return where to send a request: its scheme is that of the instance, else that of the url.

    An instance names its scheme in `metadata={"scheme": "https"}`.
    """
    wanted = endpoint.metadata.get("scheme", scheme)
    return Target(wanted if wanted in _SCHEMES else "http", endpoint.host or "", endpoint.port)
