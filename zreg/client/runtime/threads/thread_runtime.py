"""One running client whose core runs on the thread of all clients, so that any thread may use it.

Events change the publications and subscriptions under the lock, and wake the threads that wait.
Callbacks run on the dispatcher's thread, so they may call the API.

No code of the user runs under the lock, nor on the loop's thread, except callbacks that the program
declares quick (`InlineCallbacks`): it could take seconds, raise anything, or wait for the client
itself. Log lines are written by `BackgroundLog`, and the reactor looks names up on threads of their
own.
"""

import math
import os
import threading
import time
from collections.abc import Callable
from typing import cast

import msgspec

from zreg import errors
from zreg.client.arguments import seconds_to_wait
from zreg.client.core.commands import Answer, Question
from zreg.client.lookups.dialogs import Dialog, R
from zreg.client.runtime import closing
from zreg.client.runtime.background_log import BACKGROUND_LOG
from zreg.client.runtime.callbacks.dispatcher import Dispatcher
from zreg.client.runtime.callbacks.inline_callbacks import InlineCallbacks
from zreg.client.runtime.events.pending_answers import unanswered
from zreg.client.runtime.lifecycle import CLOSED, Lifecycle
from zreg.client.runtime.outgoing_queue import OutgoingQueue
from zreg.client.runtime.runtime import Runtime, Settings, weak_call
from zreg.client.runtime.threads.check_threads import CHECK_THREADS
from zreg.client.runtime.threads.loop_thread import is_loop_thread
from zreg.client.runtime.threads.thread_runner import ThreadRunner
from zreg.client.signal_safe_condition import WAIT_SECONDS_MAX, SignalSafeCondition


class ThreadRuntime(Runtime):
    """One running client. Any thread may call the public methods.

    `changed` is a condition of threads: a wait looks again after every event.
    """

    changed: threading.Condition
    core_runner: ThreadRunner

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, SignalSafeCondition())
        self._event_count = 0
        self.cache = self._new_cache(BACKGROUND_LOG)
        self.dispatcher = Dispatcher(f"zreg-{self.client_id.hex()[:8]}-callbacks")
        self.core_runner = ThreadRunner(
            self.changed,
            OutgoingQueue(),
            self._new_node(BACKGROUND_LOG),
            weak_call(self._end_waits),
        )
        self.inline_callbacks = InlineCallbacks(self.core_runner.call_soon)
        self.health = self._new_health(CHECK_THREADS, BACKGROUND_LOG)
        self.setting_watches = self._new_setting_watches()
        self.lifecycle = Lifecycle(self.core_runner, begin_in_child=weak_call(self._begin_in_child))
        # Several threads of a forked child may use the client first.
        self._child_lock = threading.RLock()
        self.core_runner.start()
        closing.add(self)

    def request(self, question: Question, timeout_seconds: float) -> Answer:
        """Return the session's answer; raise `UnavailableError` or `RefusedError` without one."""
        seconds = seconds_to_wait(timeout_seconds)
        self.lifecycle.check_open()
        self.lifecycle.check_may_wait()
        deadline = math.inf if seconds is None else seconds
        with self.changed:
            ask_id = self.begin_question(question, deadline)

            def is_over() -> bool:
                return self._answers.has_outcome(ask_id) or self.core_runner.is_closed

            try:
                # The core keeps the deadline; its loop has one second more to tell of it.
                self.changed.wait_for(is_over, None if seconds is None else seconds + 1)
            finally:
                outcome = self.end_question(ask_id)
        if outcome is None:
            closing.hold_daemon_thread(self.core_runner.why_closed)
            self.lifecycle.check_open()
            raise unanswered(self.connection.why_waiting())
        if isinstance(outcome, errors.Error):
            raise outcome
        return outcome

    def converse(self, dialog: Dialog[R], timeout_seconds: float) -> R:
        """Ask the questions of a dialog, all within the time, and return its result."""
        seconds = seconds_to_wait(timeout_seconds)
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        question = next(dialog)
        while True:
            answer = self.request(question, max(0.0, deadline - time.monotonic()))
            try:
                question = dialog.send(answer)
            except StopIteration as end:
                return cast("R", end.value)

    def wait(
        self, condition: Callable[[], bool], timeout_seconds: float, why: Callable[[], str]
    ) -> None:
        """Wait until the condition holds; it is evaluated without the lock, after every event.

        Raises `zreg.TimeoutError` with the reason that `why` returns, and `ClosedError`.
        """
        seconds = seconds_to_wait(timeout_seconds)
        self.lifecycle.enter_process()
        self.lifecycle.check_may_wait()

        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            # Before the condition looks: what happens from now on is looked at again.
            count, is_closed = self._event_count, self.core_runner.is_closed
            if condition():
                return
            if is_closed:
                closing.hold_daemon_thread(self.core_runner.why_closed)
                self.lifecycle.check_open()
            if not self._wait_for_event(count, deadline):
                raise errors.TimeoutError(f"{why()} (waited {seconds:g} s)")

    def notify(self, key: bytes | int) -> None:  # noqa: ARG002 -- threads look again at each event
        """Have all threads that wait look again. Needs the lock."""
        self._event_count += 1
        self.changed.notify_all()

    def begin_close(self, why: str = CLOSED) -> None:
        """Say goodbye; a second call does nothing. A forked child has nothing to close."""
        super().begin_close(why)
        self.dispatcher.close()

    def finish_close(self, deadline: float) -> None:
        """Wait until goodbye and cached views have left, but not beyond the deadline.

        An inline callback does not wait: the goodbye leaves when it has returned.
        """
        if self.lifecycle.is_inherited or is_loop_thread():
            return
        self.core_runner.join(max(0.0, deadline - time.monotonic()))
        self.dispatcher.join(max(0.0, deadline - time.monotonic()))
        if self.cache is not None:
            self.cache.join(max(0.0, deadline - time.monotonic()))

    # --- in a forked child --------------------------------------------------------------------

    def on_forked(self) -> None:
        """Make all locks anew: a thread of the parent, which is not here, may have held them."""
        super().on_forked()
        self._child_lock = threading.RLock()
        self._renew_locks()

    def _begin_in_child(self) -> None:
        """Begin afresh: a client of its own, with the subscriptions of the parent's.

        Of the publications it has those that were made with `in_children=True`. Raises
        `UnavailableError` without a thread or descriptors; the next use tries again.
        """
        with self._child_lock:
            if not self.lifecycle.is_inherited:
                return
            # A worker of gunicorn may have put greenlets in the place of threads since the fork.
            self._renew_locks()
            self.client_id = os.urandom(16)
            self.core_runner.begin_in_child(self._new_node(BACKGROUND_LOG))
            self.inline_callbacks.forget()
            with self.changed:
                self._listeners.begin_in_child(self.core_runner.outgoing)
                self.state_callbacks.begin_in_child()
                self._begin_health_in_child()
                if self.cache is not None:
                    self.cache.begin_in_child()
            self.lifecycle.is_inherited = False
            try:
                self.core_runner.start()
            except BaseException:
                # As a child of this child would find it.
                self.core_runner.begin_in_child(self._new_node(BACKGROUND_LOG))
                self.health.close()
                super().on_forked()
                raise
            with self.changed:
                self.health.on_loop_begun()
                self.setting_watches.begin_in_child()

    def _renew_locks(self) -> None:
        # In place: publications and subscriptions refer to it.
        self.changed.__init__()  # type: ignore[misc]
        self.dispatcher.on_forked()

    def __del__(self) -> None:
        """Close a runtime that the program has dropped, without waiting for the goodbye."""
        lifecycle = getattr(self, "lifecycle", None)
        if lifecycle is not None and lifecycle.is_running:
            self.begin_close(closing.DROPPED)
            closing.warn_dropped(
                self,
                ", ".join(self.settings.addresses),
                is_loop_thread=is_loop_thread(),
            )

    def _wait_for_event(self, count: int, deadline: float) -> bool:
        """Wait until more than `count` events have come; return False after the deadline."""

        def is_over() -> bool:
            return self._event_count != count or self.core_runner.is_closed

        with self.changed:
            while not self.changed.wait_for(
                is_over, min(WAIT_SECONDS_MAX, deadline - time.monotonic())
            ):
                if time.monotonic() >= deadline:
                    return False
        return True

    # --- on the loop's thread ---------------------------------------------------------------

    def _end_waits(self) -> None:
        """End what relies on the loop, which ends or has failed. Needs the lock."""
        self._event_count += 1
        super()._end_waits()
        self.dispatcher.close()

    def _on_event(self, event: msgspec.Struct) -> None:
        with self.changed:
            self._router.on_event(event)
            self._event_count += 1
            self.changed.notify_all()
        self.inline_callbacks.run()
