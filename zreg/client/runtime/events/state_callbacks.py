"""The callbacks that are told when the state of a client's connection changes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from zreg.client.core.commands import ClientState
from zreg.client.runtime.callbacks.callback_runner import CallbackRunner


class StateChange(NamedTuple):
    """What became of the state of a client between two calls of a callback."""

    old: ClientState
    new: ClientState
    why: str
    """A sentence that says how the connection is, and what to check if there is none."""


StateCallback = Callable[[StateChange], object]


class _Watcher:
    """One callback, the state that it was told last, and whether it is about to be called."""

    def __init__(self, callback: StateCallback, runner: CallbackRunner, told: ClientState) -> None:
        self.callback = callback
        self.runner = runner
        self.told = told
        self.is_due = False


class StateCallbacks:
    """All such callbacks of one client; the runtime's lock guards them.

    Invariant: of each callback one call is under way at most. It tells the newest state, and
    nothing if the state is the one that was told last.
    """

    def __init__(self, why: Callable[[], str]) -> None:
        self._why = why
        self._watchers: list[_Watcher] = []
        self._state = ClientState.CONNECTING

    def add(self, callback: StateCallback, runner: CallbackRunner) -> None:
        """Call the function at each change from now on."""
        self._watchers.append(_Watcher(callback, runner, self._state))

    def on_state(self, state: ClientState) -> None:
        """Note the state."""
        self._state = state
        for watcher in self._watchers:
            if watcher.is_due:
                # No thread could be started for it, perhaps.
                watcher.runner.retry()
            elif watcher.told is not state:
                watcher.is_due = True
                watcher.runner.submit(partial(self._tell, watcher))

    def begin_in_child(self) -> None:
        """Begin afresh in a forked child: calls that were due stayed with the parent."""
        self._state = ClientState.CONNECTING
        for watcher in self._watchers:
            watcher.told, watcher.is_due = self._state, False

    def _tell(self, watcher: _Watcher) -> object:
        watcher.is_due = False
        old, new = watcher.told, self._state
        watcher.told = new
        return None if old is new else watcher.callback(StateChange(old, new, self._why()))
