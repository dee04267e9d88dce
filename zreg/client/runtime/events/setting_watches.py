"""Ask for the settings that a program watches, and tell its callbacks what changed.

Meta pushes no settings, so the client asks its session for each watched name again and again, while
it is watched. One question is under way at most, so a client never takes more of a session than the
share of one. The pauses vary, so that clients which began together do not ask together.
"""

import random
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from zreg.client.core.commands import Answer, Question
from zreg.client.lookups.dialogs import Setting, setting_of
from zreg.client.runtime.callbacks.callback_runner import CallbackRunner
from zreg.client.runtime.events.changed import Changed
from zreg.client.runtime.events.pending_answers import OutcomeListener
from zreg.errors import Error, UsageError
from zreg.wire.records.settings_messages import FetchSettings

# The value of a setting, None if there is none.
SettingCallback = Callable[[str | None], object]

INTERVAL_SECONDS: Final = 2.0
# Each pause is between this share of the interval and as much more than it.
_SHORTEST_SHARE: Final = 0.75
_NAMES_MAX: Final = 100
_ANSWER_SECONDS_MAX: Final = 10.0


class Asking(Protocol):
    """Asks the session a question, and passes the outcome to the listener under the lock."""

    def __call__(
        self, question: Question, timeout_seconds: float, listener: OutcomeListener, /
    ) -> None:
        """Ask; with the lock of the runtime."""
        ...


class _Watcher:
    """One callback, and the setting that it was told last."""

    def __init__(self, callback: SettingCallback, runner: CallbackRunner) -> None:
        self.callback = callback
        self.runner = runner
        self.told: Setting | None = None
        self.was_told = False
        self.is_due = False
        self.is_closed = False


class WatchedSetting:
    """What is known of one watched name. Invariant: it has a watcher, or has left the table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.setting: Setting | None = None
        self.is_known = False
        self.watchers: list[_Watcher] = []
        self.due_at = 0.0
        # Whether the answer under way may be older than what is to be asked for.
        self.is_late = False


class SettingWatches:
    """The settings that a client watches; the runtime's lock guards them.

    Invariants:
    - Of each callback one call is under way at most; it tells the newest value, and nothing if
      that is the one which was told last.
    - While a name is watched, a question or a timer is under way, or `_step` is about to be called.
    - It never refers to the runtime, so a client that the program drops can be collected.
    """

    def __init__(
        self,
        changed: Changed,
        call_soon: Callable[[Callable[[], None]], None],
        call_later: Callable[[float, Callable[[], None]], object],
        ask: Asking,
    ) -> None:
        self._changed = changed
        self._call_soon = call_soon
        self._call_later = call_later
        self._ask = ask
        self._settings: dict[str, WatchedSetting] = {}
        self._is_asking = False
        self._is_closed = False
        # Timers of a number that is not the newest do nothing.
        self._timer_number = 0

    def add(self, name: str, callback: SettingCallback, runner: CallbackRunner) -> _Watcher:
        """Watch a setting. Needs the lock; raises `UsageError` above the limit of names."""
        watched = self._settings.get(name)
        if watched is None:
            if len(self._settings) >= _NAMES_MAX:
                raise UsageError(f"one client watches at most {_NAMES_MAX} settings: watch fewer")
            watched = self._settings[name] = WatchedSetting(name)
            self._call_soon(_weakly(self._step))
        watcher = _Watcher(callback, runner)
        watched.watchers.append(watcher)
        if watched.is_known:
            self._note(watched, watcher)
            runner.retry()
        return watcher

    def remove(self, name: str, watcher: _Watcher) -> None:
        """Begin no call of this callback any more; a second call does nothing. Needs the lock."""
        watched = self._settings.get(name)
        if watcher.is_closed or watched is None:
            return
        watcher.is_closed = True
        watched.watchers.remove(watcher)
        if not watched.watchers:
            del self._settings[name]

    def close(self) -> None:
        """Ask nothing any more, and begin no call. Needs the lock."""
        self._is_closed = True

    def begin_in_child(self) -> None:
        """Ask anew in a forked child: the question under way is the parent's. Needs the lock."""
        self._is_asking = False
        for watched in self._settings.values():
            for watcher in watched.watchers:
                watcher.is_due = False
        self.ask_again()

    def ask_again(self) -> None:
        """Ask for each setting at once: it may have changed. Needs the lock."""
        for watched in self._settings.values():
            watched.due_at = 0.0
            watched.is_late = True
        if self._settings:
            self._call_soon(_weakly(self._step))

    # --- on the loop's thread ---------------------------------------------------------------

    def _step(self) -> None:
        """Ask for the setting that is due first, or wait until it is due."""
        with self._changed:
            if self._is_asking or self._is_closed or not self._settings:
                return
            watched = min(self._settings.values(), key=lambda each: each.due_at)
            seconds = watched.due_at - time.monotonic()
            self._timer_number += 1
            if seconds > 0:
                self._call_later(seconds, _weakly(self._on_timer, self._timer_number))
                return
            self._is_asking, watched.is_late = True, False
            listener = partial(self._on_outcome, watched)
            self._ask(FetchSettings(0, watched.name), _ANSWER_SECONDS_MAX, listener)

    def _on_timer(self, number: int) -> None:
        if number == self._timer_number:
            self._step()

    def _on_outcome(self, watched: WatchedSetting, outcome: Answer | Error) -> None:
        """Take an answer; after a refusal, or no answer in time, ask again later."""
        self._is_asking = False
        share = random.uniform(_SHORTEST_SHARE, 2 - _SHORTEST_SHARE)  # noqa: S311 -- spreads load
        pause = 0.0 if watched.is_late else INTERVAL_SECONDS * share
        watched.due_at = time.monotonic() + pause
        self._call_soon(_weakly(self._step))
        if isinstance(outcome, Error):
            return
        try:
            watched.setting = setting_of(outcome)
        except Error:
            return
        watched.is_known = True
        for watcher in tuple(watched.watchers):
            self._note(watched, watcher)

    # --- callbacks --------------------------------------------------------------------------

    def _note(self, watched: WatchedSetting, watcher: _Watcher) -> None:
        """Have a callback called, unless a call is due or nothing is new to it."""
        is_new = not watcher.was_told or watcher.told != watched.setting
        if is_new and not watcher.is_due:
            watcher.is_due = True
            watcher.runner.submit(partial(self._tell, watched, watcher))

    def _tell(self, watched: WatchedSetting, watcher: _Watcher) -> object:
        with self._changed:
            watcher.is_due = False
            setting = watched.setting
            is_new = not watcher.was_told or watcher.told != setting
            watcher.told, watcher.was_told = setting, True
            if not is_new or watcher.is_closed or self._is_closed:
                return None
        return watcher.callback(None if setting is None else setting.value)


def _weakly(method: Callable[..., None], *arguments: object) -> Callable[[], None]:
    """Return a call of the method that does not keep its object: callbacks refer to the client."""
    weak = weakref.WeakMethod(method)

    def call() -> None:
        alive = weak()
        if alive is not None:
            alive(*arguments)

    return call
