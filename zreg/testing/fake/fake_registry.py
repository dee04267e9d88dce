"""A registry in the memory of the process, for tests of code that uses zreg.

The clients are real: the same `zreg.Client` and `zreg.AsyncClient`, the same decisions. Only what
carries their records is replaced. Nothing listens on a port, and the registry has no thread.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from zreg.client.aio.async_client import AsyncClient
from zreg.client.api import Client
from zreg.client.handles.client_handle import ClientHandle
from zreg.client.handles.publication_handle import PublicationHandle
from zreg.client.locating.transports import FAKE_SCHEME, add_registry, remove_registry
from zreg.client.runtime.aio.loop_runtime import LoopRuntime
from zreg.client.runtime.closing import close_all
from zreg.client.view.values import Value
from zreg.client.view.view import Publisher
from zreg.config import LABEL, Config, Limits
from zreg.errors import RefusedError, UsageError, refusal
from zreg.model import (
    DEFAULT_GROUP,
    DEFAULT_INSTANCE_ID,
    ID_PART,
    SETTING_NAME,
    Cause,
    data_info_id,
)
from zreg.testing.fake.exchange import Exchange
from zreg.testing.fake.fake_instance import FakeInstance, Labels
from zreg.testing.fake.idle_wait import runtimes_of, wait_for_all, wait_for_threads
from zreg.testing.fake.memory_node import MemoryNode

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_CLOSED: Final = "the FakeRegistry of this client was closed"
_DEFAULT: Final = Config.for_lan()
_URL: Final = "ZREG_URL"
_numbers: Final = itertools.count(1)


class ConnectedClient(msgspec.Struct, frozen=True):
    """A client that the registry has welcomed, as the registry knows it."""

    client_id: bytes
    app: str
    zone: str
    data_center: str
    publisher_count: int


class FakeRegistry:
    """A registry in memory. Use it in a `with` block, or in `async with`.

    `put` and each fault return when all clients have seen what they changed, and their callbacks
    have returned. Clients on the caller's own event loop are the exception: they need the loop, so
    `await registry.settled()`. A test needs no sleep.
    """

    def __init__(self, name: str | None = None) -> None:
        name = f"registry-{next(_numbers)}" if name is None else ID_PART.check("name", name)
        self._exchange = Exchange(os.urandom(16))
        self.url = f"{FAKE_SCHEME}{name}"
        """What `zreg.Client(url)`, `ZREG_URL` and zreg.toml take, in this process."""
        # Kept, so that a test may drop a client that the registry will close.
        self._made: list[ClientHandle] = []
        add_registry(self.url, partial(MemoryNode, self._exchange))

    # --- clients ------------------------------------------------------------------------------

    def client(
        self,
        *,
        zone: str | None = None,
        data_center: str | None = None,
        app: str | None = None,
        config: Config | None = None,
    ) -> Client:
        """Return a new `zreg.Client` of this registry. The registry closes it when it is closed."""
        client = Client(self.url, zone=zone, data_center=data_center, app=app, config=config)
        self._made.append(client)
        return client

    def async_client(
        self,
        *,
        zone: str | None = None,
        data_center: str | None = None,
        app: str | None = None,
        config: Config | None = None,
    ) -> AsyncClient:
        """Return a new `zreg.AsyncClient` of this registry, for the loop that uses it first."""
        client = AsyncClient(self.url, zone=zone, data_center=data_center, app=app, config=config)
        self._made.append(client)
        return client

    @contextlib.contextmanager
    def as_default(self) -> "Iterator[Self]":
        """Have clients without a url use this registry inside the block: it sets `ZREG_URL`."""
        former = os.environ.get(_URL)
        os.environ[_URL] = self.url
        try:
            yield self
        finally:
            if former is None:
                os.environ.pop(_URL, None)
            else:
                os.environ[_URL] = former

    # --- what is registered -------------------------------------------------------------------

    def put(  # noqa: PLR0913 -- those of `publish`, and the labels of its client
        self,
        data_id: str,
        *values: Value,
        zone: str = _DEFAULT.zone,
        data_center: str = _DEFAULT.data_center,
        app: str = "",
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
        attributes: Mapping[str, str] | None = None,
    ) -> FakeInstance:
        """Register an instance, as a client of its own would; change and end it by what returns."""
        for field, label in (("zone", zone), ("data_center", data_center), ("app", app)):
            LABEL.check(field, label)
        name = data_info_id(data_id, instance_id=instance_id, group=group)
        labels = Labels(zone, data_center, app)
        instance = FakeInstance(self._exchange, self.wait_idle, name, labels)
        instance.update(*values, attributes=attributes or {})
        return instance

    def publishers(
        self,
        data_id: str,
        *,
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
    ) -> tuple[Publisher, ...]:
        """Return what is registered under an id, in the order in which it came."""
        name = data_info_id(data_id, instance_id=instance_id, group=group)
        records = self._exchange.look(lambda core: tuple(core.datums.publishers(name).values()))
        return tuple(map(Publisher, records))

    @property
    def clients(self) -> tuple[ConnectedClient, ...]:
        """The clients that are connected."""
        return self._exchange.look(
            lambda core: tuple(
                ConnectedClient(
                    known.hello.client_id,
                    known.hello.app,
                    known.hello.zone,
                    known.hello.data_center,
                    len(core.datums.of_client(known.hello.client_id)),
                )
                for known in core.clients.values()
            )
        )

    def set_setting(self, name: str, value: str | None) -> None:
        """Set a setting of the cluster, as `zreg settings set` does; None removes it.

        Clients that watch it are told at once. Raises `UsageError` for a name or value that no
        setting may have, and `RefusedError` above the limit of settings.
        """
        SETTING_NAME.check("name of a setting", name)
        if value is not None and len(value) > Limits.setting_characters_max:
            raise UsageError(
                f"the value of {name} has {len(value)} characters, and a setting at most "
                f"{Limits.setting_characters_max}"
            )
        with self._exchange.lock:
            applied = self._exchange.core.change_setting(name, value)
        if applied.code:
            raise refusal(applied.code, applied.detail)
        for runtime in runtimes_of(self.url):
            with runtime.changed:
                runtime.setting_watches.ask_again()
        self.wait_idle()

    # --- faults -------------------------------------------------------------------------------

    def lose_session(self) -> None:
        """End the connections of all clients, and refuse new ones until `restore`.

        Clients become SUSPENDED and their views stale. What they have published stays registered.
        """
        self._exchange.close_all()
        self.wait_idle()

    def restore(self) -> None:
        """End `lose_session` and `expire`: clients connect again at once, and replay."""
        self._exchange.open()
        self._exchange.act(lambda core: core.hear_all())
        self._exchange.hurry_all()
        self.wait_idle()

    def hold_pushes(self) -> None:
        """Send no views and no changes of them until `release_pushes`; requests are answered."""
        with self._exchange.lock:
            self._exchange.core.is_holding = True

    def release_pushes(self) -> None:
        """Send what was held, the changes of each subscription merged into one."""
        self._exchange.act(lambda core: core.release())
        self.wait_idle()

    def expire(self, target: ClientHandle | PublicationHandle | FakeInstance) -> None:
        """End the lease of a client, or the registration of one publication or instance.

        A client whose lease has ended is as a program that hangs: what it published is gone, it is
        not heard, and is pushed nothing. After `restore` it replays. A publication comes back when
        its program publishes it again.
        """
        match target:
            case ClientHandle():
                self._exchange.act(lambda core: core.expire(target.client_id))
            case PublicationHandle() | FakeInstance():
                publisher_id = target.publisher_id
                self._exchange.act(lambda core: core.remove([publisher_id], Cause.SILENT))
            case _:
                raise UsageError(
                    f"{target!r:.80} does not expire: give a client, a publication, or what put() "
                    "returned"
                )
        self.wait_idle()

    def refuse(self, data_id: str | None, error: RefusedError) -> None:
        """Refuse to publish or subscribe an id with this error, until `accept`; None: all ids.

        A client repeats what is refused with `NotReadyError`; other refusals are final. What is
        registered already stays, and may be withdrawn.
        """
        if not isinstance(error, RefusedError):
            raise UsageError(
                f"{error!r:.80} is no refusal: give one, such as zreg.DeniedError('not yours')"
            )
        with self._exchange.lock:
            self._exchange.core.refusals[data_id] = error

    def accept(self, data_id: str | None = None) -> None:
        """End `refuse` for an id, by default for all; what is repeated is repeated at once."""
        with self._exchange.lock:
            refusals = self._exchange.core.refusals
            if data_id is None:
                refusals.clear()
            else:
                refusals.pop(data_id, None)
        self._exchange.hurry_all()
        self.wait_idle()

    # --- waits --------------------------------------------------------------------------------

    def wait_idle(self, timeout_seconds: float = 10.0) -> None:
        """Wait until clients have sent and seen all there is, and callbacks have returned.

        It does not wait for clients on the event loop that runs on this thread, nor for the
        callback that calls it. Raises `zreg.TimeoutError` if a callback does not return.
        """
        wait_for_threads(self._exchange, self.url, timeout_seconds)

    async def settled(self, timeout_seconds: float = 10.0) -> None:
        """Wait as `wait_idle`, also for the clients on this event loop and their coroutines."""
        await wait_for_all(self._exchange, self.url, timeout_seconds)

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all clients of this registry, and end the use of its url."""
        close_all(runtimes_of(self.url), why=_CLOSED)
        self._made.clear()
        remove_registry(self.url)

    def __enter__(self) -> "Self":
        """Return itself; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> "Self":
        """Return itself; leaving the block closes it."""
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close, and wait for the clients on this loop."""
        for runtime in runtimes_of(self.url):
            if isinstance(runtime, LoopRuntime) and runtime.core_runner.is_current:
                await runtime.close()
        self.close()

    def __repr__(self) -> str:
        """Show url and clients."""
        return f"<FakeRegistry {self.url} clients={len(self.clients)}>"
