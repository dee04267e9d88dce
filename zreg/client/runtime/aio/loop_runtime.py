"""One running client whose core runs on an event loop of the program.

Everything happens on the loop's thread: calls of the API, events, waits and callbacks. So there is
no lock, and what the program does in a coroutine or callback delays its client as it delays all
else on that loop.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import msgspec

from zreg import errors
from zreg.client.arguments import seconds_to_wait
from zreg.client.core.commands import (
    Answer,
    Answered,
    AskRefused,
    ConnectionChanged,
    PublicationRefused,
    Question,
    Registered,
    SubscriptionRefused,
    Unanswered,
    ViewChanged,
)
from zreg.client.lookups.dialogs import Dialog, R
from zreg.client.runtime import closing
from zreg.client.runtime.aio.coroutine_callbacks import CoroutineCallbacks
from zreg.client.runtime.aio.loop_checks import LoopChecks
from zreg.client.runtime.aio.loop_runner import LoopRunner
from zreg.client.runtime.aio.waits import Key, Waits
from zreg.client.runtime.callbacks.inline_callbacks import InlineCallbacks
from zreg.client.runtime.events.pending_answers import unanswered
from zreg.client.runtime.lifecycle import CLOSED, Lifecycle
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.client.runtime.runtime import Runtime, Settings, weak_call
from zreg.reactor.log_lines import LOG_AT_ONCE


class LoopLifecycle(Lifecycle):
    """The life of a client on a loop: its first use begins it, on the loop that runs then."""

    def __init__(self, runner: LoopRunner) -> None:
        super().__init__(runner, "zreg.AsyncClient")
        self._loop_runner = runner

    def check_open(self) -> None:
        """Raise `ClosedError` if it has ended, and `UsageError` on another loop or thread."""
        super().check_open()
        self._loop_runner.enter()

    def check_thread(self) -> None:
        """Raise `UsageError` on another loop or thread than that of an open client."""
        if not self._loop_runner.is_closed:
            self._loop_runner.enter()

    check_may_wait = check_thread


class LoopRuntime(Runtime):
    """One running client on one loop. Only that loop's thread may call it, but for properties."""

    changed: Waits
    core_runner: LoopRunner

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Waits())
        self.cache = self._new_cache(LOG_AT_ONCE)
        self.core_runner = LoopRunner(
            self.changed,
            OutgoingQueue(),
            self._new_node(LOG_AT_ONCE),
            weak_call(self._end_waits),
        )
        self.inline_callbacks = InlineCallbacks(self.core_runner.call_soon)
        self.coroutine_callbacks = CoroutineCallbacks()
        self.loop_checks = LoopChecks(self.coroutine_callbacks)
        self.health = self._new_health(self.loop_checks, LOG_AT_ONCE)
        self.setting_watches = self._new_setting_watches()
        self.lifecycle = LoopLifecycle(self.core_runner)
        closing.add(self)

    async def request(self, question: Question, timeout_seconds: float) -> Answer:
        """Return the session's answer; raise `UnavailableError` or `RefusedError` without one."""
        seconds = seconds_to_wait(timeout_seconds)
        self.lifecycle.check_open()
        ask_id = self.begin_question(question, math.inf if seconds is None else seconds)
        try:
            # The core keeps the deadline.
            while not (self._answers.has_outcome(ask_id) or self.core_runner.is_closed):
                await self.changed.wait(ask_id)
        finally:
            outcome = self.end_question(ask_id)
        if outcome is None:
            self.lifecycle.check_open()
            raise unanswered(self.connection.why_waiting())
        if isinstance(outcome, errors.Error):
            raise outcome
        return outcome

    async def converse(self, dialog: Dialog[R], timeout_seconds: float) -> R:
        """Ask the questions of a dialog, all within the time, and return its result."""
        seconds = seconds_to_wait(timeout_seconds)
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        question = next(dialog)
        while True:
            answer = await self.request(question, max(0.0, deadline - time.monotonic()))
            try:
                question = dialog.send(answer)
            except StopIteration as end:
                return cast("R", end.value)

    async def wait(
        self,
        condition: Callable[[], bool],
        timeout_seconds: float,
        why: Callable[[], str],
        key: Callable[[], Key],
    ) -> None:
        """Wait until the condition holds; it is looked at after each event that concerns the key.

        Raises `zreg.TimeoutError` with the reason that `why` returns, and `ClosedError`. May be
        cancelled at any time.
        """
        seconds = seconds_to_wait(timeout_seconds)
        self.lifecycle.enter_process()
        self.lifecycle.check_may_wait()
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                while not condition():
                    if self.core_runner.is_closed:
                        self.lifecycle.check_open()
                    await self.changed.wait(key())
        except TimeoutError:
            # The condition may raise one of its own.
            if not limit.expired():
                raise
            raise errors.TimeoutError(f"{why()} (waited {seconds:g} s)") from None

    def notify(self, key: bytes | int) -> None:
        """Have the waits for this look again."""
        self.changed.wake((key,))

    # --- the end ----------------------------------------------------------------------------

    async def close(self) -> None:
        """Say goodbye, and wait until it has left and callbacks have ended: a second at most.

        Callbacks that run then still are cancelled, except those that call this.
        """
        if self.lifecycle.is_inherited:
            self.begin_close(CLOSED)
            return
        self.core_runner.check_may_close()
        self.coroutine_callbacks.note_closer()
        self.begin_close(CLOSED)
        self.loop_checks.cancel()
        try:
            async with asyncio.timeout(closing.CLOSE_SECONDS_MAX):
                while not self.core_runner.has_ended:
                    await self.changed.wait(None)
                await self.coroutine_callbacks.wait_ended()
                if self.cache is not None and not self.cache.is_flushed:
                    await asyncio.to_thread(self.cache.join, closing.CLOSE_SECONDS_MAX)
        except TimeoutError:
            self.coroutine_callbacks.cancel()

    def begin_close(self, why: str) -> None:
        """Say goodbye; on another thread, as at the end of the process, have the loop do so."""
        if self.core_runner.is_elsewhere and not self.lifecycle.is_inherited:
            # What waits is woken by its own loop.
            self.core_runner.call_soon(partial(super().begin_close, why))
        else:
            super().begin_close(why)

    def on_forked(self) -> None:
        """Note that this is a forked child; a client that was not used yet begins there as new."""
        if self.core_runner.is_unused:
            self.client_id = os.urandom(16)
            self.core_runner.begin_in_child(self._new_node(LOG_AT_ONCE))
        else:
            super().on_forked()
            self.core_runner.leave_to_parent()

    def finish_close(self, deadline: float) -> None:
        """Do nothing: the goodbye leaves as long as the loop runs."""

    def __del__(self) -> None:
        """Close a runtime that the program has dropped, without waiting for the goodbye."""
        lifecycle, runner = getattr(self, "lifecycle", None), getattr(self, "core_runner", None)
        if lifecycle is None or lifecycle.is_inherited or runner is None:
            return
        if runner.was_abandoned:
            # Nothing waits, and the loop is not to keep what was dropped.
            super().begin_close(closing.DROPPED)
            closing.warn_dropped(self, ", ".join(self.settings.addresses), kind="zreg.AsyncClient")

    # --- on the loop's thread ---------------------------------------------------------------

    def _end_waits(self) -> None:
        super()._end_waits()
        self.coroutine_callbacks.close()

    def _on_event(self, event: msgspec.Struct) -> None:
        self._router.on_event(event)
        self.changed.wake(_keys_of(event))
        self.inline_callbacks.run()


def _keys_of(event: msgspec.Struct) -> tuple[Key, ...]:
    """Return what the waits are for that look again after this event."""
    match event:
        case ViewChanged() | SubscriptionRefused():
            return (event.feed_id,)
        case Registered():
            return event.publisher_ids
        case PublicationRefused():
            return (event.publisher_id,)
        case Answered() | AskRefused() | Unanswered():
            return (event.ask_id,)
        case ConnectionChanged():
            return (None,)
        case _:
            return ()
