"""The client that programs use.

Publish and subscribe record what you want and return at once. The client finds a session, tells it
what you want, and tells the next session again, for as long as it lives. Only `request` and the
methods called `wait_…` wait.
"""

import atexit
import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from zreg.client.arguments import (
    check_callback,
    check_health_function,
    checked_flag,
    checked_scope,
)
from zreg.client.core.commands import Answer, ClientState, Question
from zreg.client.handles.client_handle import ClientHandle, balancing_of, checked_name, settings_of
from zreg.client.handles.health_arguments import new_heartbeat, plan_of
from zreg.client.handles.setting_watch import SettingWatch
from zreg.client.health.instance_health import WhenUnhealthy
from zreg.client.lookups.client_settings import ClientSettings
from zreg.client.lookups.dialogs import PublishedId, check_setting_name, list_dialog
from zreg.client.publication import Publication
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.runtime.callbacks.dispatcher import refusing_coroutines
from zreg.client.runtime.closing import CLOSE_SECONDS_MAX, ENDED, close_all, running
from zreg.client.runtime.events.setting_watches import SettingCallback
from zreg.client.runtime.events.state_callbacks import StateCallback
from zreg.client.runtime.health.check_call import CheckFunction
from zreg.client.runtime.health.heartbeat import Heartbeat
from zreg.client.runtime.subscription_state import Callback
from zreg.client.service import Service
from zreg.client.subscription import Subscription
from zreg.client.view.values import Value
from zreg.config import Config
from zreg.errors import UnavailableError
from zreg.forks_and_signals import loading
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, Scope

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self, Unpack

    from zreg.client.balancing.policy import BalancingOptions
    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime

S = TypeVar("S", bound=StateCallback)


class Client(ClientHandle):
    """A program's connection to the registry. Any thread may call it, callbacks included.

    `Client()` uses `ZREG_URL`, then `[client] url` of ./zreg.toml and of /etc/zreg/zreg.toml, then
    zreg://127.0.0.1:9600. Labels that are not given come from `ZREG_ZONE`, `ZREG_DATA_CENTER`,
    `ZREG_APP` and `ZREG_CLUSTER`. `config` replaces the timing. With `cache_dir` the last known
    views are kept in files there, and subscriptions begin with them (docs/cache.md).
    """

    _runtime: "ThreadRuntime"

    def __init__(  # noqa: PLR0913 -- one call says all of a client
        self,
        url: str | None = None,
        *,
        cluster: str | None = None,
        zone: str | None = None,
        data_center: str | None = None,
        app: str | None = None,
        config: Config | None = None,
        cache_dir: "str | os.PathLike[str] | None" = None,
    ) -> None:
        runtime = _load_runtime()
        super().__init__(
            runtime(
                settings_of(
                    url,
                    cluster=cluster,
                    zone=zone,
                    data_center=data_center,
                    app=app,
                    config=config,
                    cache_dir=cache_dir,
                )
            )
        )

    def publish(  # noqa: PLR0913 -- one call says all of a publication
        self,
        data_id: str,
        *values: Value,
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
        attributes: Mapping[str, str] | None = None,
        health: CheckFunction | Heartbeat | None = None,
        health_interval_seconds: float = 5.0,
        health_timeout_seconds: float = 2.0,
        health_failures_max: int = 1,
        when_unhealthy: WhenUnhealthy = WhenUnhealthy.WITHDRAW,
        in_children: bool = False,
    ) -> Publication:
        """Publish values under an id; a second call makes a second publisher.

        With `health` it is published while it is healthy, and not before the first check succeeds.
        `health` is a function, called on a thread of checks, or what `heartbeat()`
        returned. It returns None or True for healthy, else False or a text that says why; what it
        raises is a reason too. It is called at once and then in each interval, never twice at the
        same time. `when_unhealthy` says whether subscribers still see the unhealthy instance
        (docs/health.md).

        A forked child of this process does not publish it, unless `in_children=True`: then each
        child publishes it too, once it has used the client.
        """
        runtime = self._runtime
        runtime.lifecycle.check_open()
        name = checked_name(data_id, instance_id, group)
        plan = None
        if health is not None:
            plan = plan_of(
                health,
                interval_seconds=health_interval_seconds,
                timeout_seconds=health_timeout_seconds,
                failures_max=health_failures_max,
                when_unhealthy=when_unhealthy,
                check_function=check_health_function,
            )
        in_children = checked_flag(in_children, "in_children")
        publication = Publication(
            runtime, name, values, attributes, health=plan, in_children=in_children
        )
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
        subscription.load_kept_view()
        if callback is not None:
            subscription(callback)
        with runtime.changed:
            runtime.lifecycle.check_open()
            subscription.begin()
        return subscription

    def heartbeat(self, timeout_seconds: float = 10.0) -> Heartbeat:
        """Return a heartbeat for `publish(…, health=heartbeat)`; a loop of the program beats it.

        Without a beat for so many seconds the publications that are tied to it are withdrawn or
        marked. They come back with the next beat.
        """
        return new_heartbeat(timeout_seconds)

    def service(
        self,
        data_id: str,
        *,
        scope: Scope = Scope.DATA_CENTER,
        group: str = DEFAULT_GROUP,
        instance_id: str = DEFAULT_INSTANCE_ID,
        **options: "Unpack[BalancingOptions]",
    ) -> Service:
        """Follow the instances of a service, to pick one for each call.

        The options say how calls are spread: `policy`, `zone_first`, `zone_min` and `ejection`; and
        which instances there are for this service: `version`, `tags`, `zone` and `where`.
        """
        balancing = balancing_of(self, options)
        follow = self.subscribe(data_id, scope=scope, group=group, instance_id=instance_id)
        return Service(follow, balancing)

    def on_state(self, callback: S) -> S:
        """Call the function at each change of the state, with a `StateChange`; return it.

        It runs on the thread of callbacks; a slow one gets the newest state. It is not called when
        the client is closed, which your program does itself.
        """
        check_callback(callback, "zreg.StateChange")
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

    def list(self, pattern: str = "*", *, timeout_seconds: float = 5.0) -> tuple[PublishedId, ...]:
        """Return the ids under which something is published, in the order of their names.

        The pattern is one of a shell, of data ids; with `#@#` in it, of whole ids as `zreg ls`
        shows them. Raises `UnavailableError` or `RefusedError` without an answer.
        """
        return self._runtime.converse(list_dialog(pattern), timeout_seconds)

    @property
    def settings(self) -> ClientSettings:
        """The settings of the cluster: `settings.get(name)` and `settings.list(pattern)`."""
        return ClientSettings(self._runtime)

    def watch_setting(self, name: str, callback: SettingCallback) -> SettingWatch:
        """Call the function with the value of a setting once it is known, and at each change.

        The value is text, and None if there is no such setting. The client asks its session every
        two seconds or so, as meta does not push settings; it asks once for all watches of a name.
        It runs on the thread of callbacks; a slow one gets the newest value.
        """
        check_setting_name(name)
        check_callback(callback, "str | None")
        runtime = self._runtime
        runtime.lifecycle.check_open()
        return SettingWatch(runtime, name, refusing_coroutines(callback), runtime.dispatcher)

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
        with loading():
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
    close_all(running(), why=ENDED)
    BACKGROUND_LOG.flush(CLOSE_SECONDS_MAX)


atexit.register(_end)
