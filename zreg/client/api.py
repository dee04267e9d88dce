"""The client that programs use.

Publish and subscribe record what you want and return at once. The client finds a session, tells it
what you want, and tells the next session again, for as long as it lives. Only `request` and the
methods called `wait_…` wait.
"""

import atexit
import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from zreg.client.arguments import check_callback, checked_flag, checked_scope
from zreg.client.core.commands import Answer, ClientState, Question
from zreg.client.handles.client_handle import ClientHandle, checked_name, settings_of
from zreg.client.publication import Publication
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.runtime.callbacks.dispatcher import refusing_coroutines
from zreg.client.runtime.closing import CLOSE_SECONDS_MAX, close_all, running
from zreg.client.runtime.events.state_callbacks import StateCallback
from zreg.client.runtime.subscription_state import Callback
from zreg.client.service import Service
from zreg.client.subscription import Subscription
from zreg.client.view.values import Value
from zreg.config import Config
from zreg.errors import UnavailableError
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, Scope

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime

S = TypeVar("S", bound=StateCallback)


class Client(ClientHandle):
    """A program's connection to the registry. Any thread may call it, callbacks included.

    `Client()` uses `ZREG_URL`, then `[client] url` of ./zreg.toml and of /etc/zreg/zreg.toml, then
    zreg://127.0.0.1:9600. Labels that are not given come from `ZREG_ZONE`, `ZREG_DATA_CENTER`,
    `ZREG_APP` and `ZREG_CLUSTER`. `config` replaces the timing.
    """

    _runtime: "ThreadRuntime"

    def __init__(
        self,
        url: str | None = None,
        *,
        cluster: str | None = None,
        zone: str | None = None,
        data_center: str | None = None,
        app: str | None = None,
        config: Config | None = None,
    ) -> None:
        runtime = _load_runtime()
        super().__init__(
            runtime(
                settings_of(
                    url, cluster=cluster, zone=zone, data_center=data_center, app=app, config=config
                )
            )
        )

    def publish(
        self,
        data_id: str,
        *values: Value,
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
        attributes: Mapping[str, str] | None = None,
        in_children: bool = False,
    ) -> Publication:
        """Publish values under an id; a second call makes a second publisher.

        A forked child of this process does not publish it, unless `in_children=True`: then each
        child publishes it too, once it has used the client.
        """
        runtime = self._runtime
        runtime.lifecycle.check_open()
        name = checked_name(data_id, instance_id, group)
        in_children = checked_flag(in_children, "in_children")
        publication = Publication(runtime, name, values, attributes, in_children=in_children)
        with runtime.changed:
            runtime.lifecycle.check_open()
            publication.submit()
        return publication

    def subscribe(
        self,
        data_id: str,
        callback: Callback | None = None,
        *,
        scope: Scope = Scope.DATA_CENTER,
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
        inline: bool = False,
    ) -> Subscription:
        """Follow what is published under an id, within a scope; call back at each change.

        Callbacks run on a thread of their own, and may take as long as they like. With
        `inline=True` those of this subscription run on the thread of the connection instead. They
        come sooner and need no thread, and their duty is to be quick (less than 50 ms, mostly far
        less): nothing else of any client of this process goes on meanwhile, signs of life included.
        They must not block, nor wait for a client: each `wait_…` and `request` raises `UsageError`
        there. All else is allowed: to publish, to subscribe, to close this subscription or client
        (`close` then does not wait for the goodbye), or to pass the change on.
        """
        runtime = self._runtime
        runtime.lifecycle.check_open()
        name = checked_name(data_id, instance_id, group)
        subscription = Subscription(
            runtime,
            name,
            checked_scope(scope),
            inline=checked_flag(inline, "inline"),
        )
        if callback is not None:
            subscription(callback)
        with runtime.changed:
            runtime.lifecycle.check_open()
            subscription.begin()
        return subscription

    def service(
        self,
        data_id: str,
        *,
        scope: Scope = Scope.DATA_CENTER,
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
    ) -> Service:
        """Follow the instances of a service, to pick one for each call."""
        return Service(self.subscribe(data_id, scope=scope, group=group, instance_id=instance_id))

    def on_state(self, callback: S) -> S:
        """Call the function at each change of the state, with a `StateChange`; return it.

        It runs on the thread of callbacks; a slow one gets the newest state. It is not called when
        the client is closed, which your program does itself.
        """
        check_callback(callback, "StateChange")
        runtime = self._runtime
        runtime.lifecycle.check_open()
        with runtime.changed:
            runtime.state_callbacks.add(refusing_coroutines(callback), runtime.dispatcher)
        return callback

    def wait_connected(self, timeout_seconds: float = 30.0) -> "Self":
        """Wait until a session has welcomed this client."""
        self._runtime.lifecycle.check_open()
        connection = self._runtime.connection
        self._runtime.wait(
            lambda: connection.state is ClientState.CONNECTED,
            timeout_seconds,
            connection.why_waiting,
        )
        return self

    def request(self, question: Question, timeout_seconds: float = 5.0) -> Answer:
        """Ask the session an operator's question and return its answer (for the CLI)."""
        return self._runtime.request(question, timeout_seconds)

    def close(self) -> None:
        """Unpublish everything, say goodbye and end, within a second; again does nothing."""
        close_all([self._runtime], CLOSE_SECONDS_MAX)

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


def _load_runtime() -> "type[ThreadRuntime]":
    """Return what runs a client: it loads asyncio and the reactor, so only the first client does.

    Raises `UnavailableError` if this process has no descriptor left to read a file with.
    """
    try:
        from zreg.client.runtime.threads.thread_runtime import ThreadRuntime  # noqa: PLC0415
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        raise UnavailableError(
            f"a client needs descriptors and this process has none left ({error.strerror}): close "
            "what it leaves open, or raise its limit (ulimit -n, LimitNOFILE=)"
        ) from error
    return ThreadRuntime


def _end() -> None:
    """Say goodbye for a program that ends without closing, and write its last log lines.

    So its publishers go at once, and not when its lease expires.
    """
    close_all(running(), why="this client was closed as its process ended")
    BACKGROUND_LOG.flush(CLOSE_SECONDS_MAX)


atexit.register(_end)
