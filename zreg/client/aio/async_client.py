"""The client for asyncio.

Publish and subscribe record what you want and return at once. The client finds a session, tells it
what you want, and tells the next session again, for as long as it lives. Only `request`, `close`
and the methods called `wait_…` wait, and are awaited.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from zreg.client.aio.async_publication import AsyncPublication
from zreg.client.aio.async_service import AsyncService
from zreg.client.aio.async_settings import AsyncClientSettings
from zreg.client.aio.async_subscription import AsyncSubscription
from zreg.client.arguments import (
    check_loop_callback,
    check_loop_health_function,
    checked_scope,
)
from zreg.client.core.commands import Answer, ClientState, Question
from zreg.client.handles.client_handle import ClientHandle, balancing_of, checked_name, settings_of
from zreg.client.handles.health_arguments import new_heartbeat, plan_of
from zreg.client.handles.setting_watch import SettingWatch
from zreg.client.health.instance_health import WhenUnhealthy
from zreg.client.lookups.dialogs import PublishedId, check_setting_name, list_dialog
from zreg.client.runtime.aio.coroutine_callbacks import LoopCallbackRunner
from zreg.client.runtime.aio.loop_runtime import LoopRuntime
from zreg.client.runtime.events.setting_watches import SettingCallback
from zreg.client.runtime.events.state_callbacks import StateCallback
from zreg.client.runtime.health.check_call import LoopCheckFunction
from zreg.client.runtime.health.heartbeat import Heartbeat
from zreg.client.runtime.subscription_state import Callback
from zreg.client.view.values import Value
from zreg.config import Config
from zreg.model import DEFAULT_GROUP, DEFAULT_INSTANCE_ID, Scope

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self, Unpack

    from zreg.client.balancing.policy import BalancingOptions

S = TypeVar("S", bound=StateCallback)


class AsyncClient(ClientHandle):
    """A program's connection to the registry, on the event loop of the program.

    It has the names of `Client`, and finds url and labels in the same places. Making one touches no
    loop: its first use, mostly `async with`, begins it on the loop that runs then. From then on
    only that loop's thread may call it, callbacks included. It needs no other thread of Python,
    unless `cache_dir` has it keep the last known views in files there (docs/cache.md).
    """

    _runtime: LoopRuntime

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
        super().__init__(
            LoopRuntime(
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
        health: LoopCheckFunction | Heartbeat | None = None,
        health_interval_seconds: float = 5.0,
        health_timeout_seconds: float = 2.0,
        health_failures_max: int = 1,
        when_unhealthy: WhenUnhealthy = WhenUnhealthy.WITHDRAW,
    ) -> AsyncPublication:
        """Publish values under an id; a second call makes a second publisher.

        With `health` it is published while it is healthy, and not before the first check succeeds.
        `health` is a quick function or a coroutine function, or what `heartbeat()`
        returned. It returns None or True for healthy, else False or a text that says why; what it
        raises is a reason too. It is called at once and then in each interval, never twice at the
        same time. `when_unhealthy` says whether subscribers still see the unhealthy instance
        (docs/health.md).
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
                check_function=check_loop_health_function,
            )
        publication = AsyncPublication(runtime, name, values, attributes, health=plan)
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
    ) -> AsyncSubscription:
        """Follow what is published under an id, within a scope; call back at each change.

        A callback that is a function is called on the loop, and must be quick as all code there. A
        coroutine function is awaited, one call at a time: what changes while it runs comes merged
        with its next call. What a callback raises is logged.
        """
        runtime = self._runtime
        runtime.lifecycle.check_open()
        name = checked_name(data_id, instance_id, group)
        subscription = AsyncSubscription(runtime, name, checked_scope(scope))
        subscription.load_kept_view()
        if callback is not None:
            subscription(callback)
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
    ) -> AsyncService:
        """Follow the instances of a service, to pick one for each call.

        The options say how calls are spread: `policy`, `zone_first`, `zone_min` and `ejection`; and
        which instances there are for this service: `version`, `tags`, `zone` and `where`.
        """
        balancing = balancing_of(self, options)
        follow = self.subscribe(data_id, scope=scope, group=group, instance_id=instance_id)
        return AsyncService(follow, balancing)

    def on_state(self, callback: S) -> S:
        """Call the function at each change of the state, with a `StateChange`; return it.

        It may be a coroutine function; while it runs, changes merge into one. It is not called when
        the client is closed, which your program does itself.
        """
        check_loop_callback(callback, "zreg.StateChange")
        runtime = self._runtime
        runtime.lifecycle.check_open()
        runner = LoopCallbackRunner(runtime.inline_callbacks, runtime.coroutine_callbacks)
        runtime.state_callbacks.add(callback, runner)
        return callback

    async def wait_connected(self, timeout_seconds: float = 30.0) -> "Self":
        """Wait until a session has welcomed this client."""
        runtime = self._runtime
        runtime.lifecycle.check_open()
        await runtime.wait(
            lambda: runtime.connection.state is ClientState.CONNECTED,
            timeout_seconds,
            runtime.connection.why_waiting,
            lambda: None,
        )
        return self

    async def list(
        self, pattern: str = "*", *, timeout_seconds: float = 5.0
    ) -> tuple[PublishedId, ...]:
        """Return the ids under which something is published, in the order of their names.

        The pattern is one of a shell, of data ids; with `#@#` in it, of whole ids as `zreg ls`
        shows them. Raises `UnavailableError` or `RefusedError` without an answer.
        """
        return await self._runtime.converse(list_dialog(pattern), timeout_seconds)

    @property
    def settings(self) -> AsyncClientSettings:
        """The settings of the cluster: `settings.get(name)` and `settings.list(pattern)`."""
        return AsyncClientSettings(self._runtime)

    def watch_setting(self, name: str, callback: SettingCallback) -> SettingWatch:
        """Call the function with the value of a setting once it is known, and at each change.

        The value is text, and None if there is no such setting. The client asks its session every
        two seconds or so, as meta does not push settings; it asks once for all watches of a name.
        It may be a coroutine function; while it runs, changes merge into one.
        """
        check_setting_name(name)
        check_loop_callback(callback, "str | None")
        runtime = self._runtime
        runtime.lifecycle.check_open()
        runner = LoopCallbackRunner(runtime.inline_callbacks, runtime.coroutine_callbacks)
        return SettingWatch(runtime, name, callback, runner)

    async def request(self, question: Question, timeout_seconds: float = 5.0) -> Answer:
        """Ask the session an operator's question and return its answer (for the CLI)."""
        return await self._runtime.request(question, timeout_seconds)

    async def close(self) -> None:
        """Unpublish everything, say goodbye and end, within a second; again does nothing."""
        await self._runtime.close()

    async def __aenter__(self) -> "Self":
        """Begin on the running loop and return itself; leaving the block closes it."""
        self._runtime.lifecycle.check_open()
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close."""
        await self.close()
