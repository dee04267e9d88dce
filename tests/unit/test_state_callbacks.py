"""Callbacks that are told when the state of a connection changes."""

from collections.abc import Callable

from zreg.client.core.commands import ClientState
from zreg.client.runtime.events.state_callbacks import StateCallbacks, StateChange


class RunnerWithoutThread:
    """Keeps its jobs until it is told to try again."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []

    def submit(self, job: Callable[[], object]) -> None:
        self.jobs.append(job)

    def retry(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()


def test_a_callback_that_no_thread_ran_is_called_after_the_next_change() -> None:
    seen: list[StateChange] = []
    callbacks = StateCallbacks(lambda: "why")
    callbacks.add(seen.append, RunnerWithoutThread())

    callbacks.on_state(ClientState.CONNECTED)
    assert seen == []
    callbacks.on_state(ClientState.LOST)

    assert seen == [StateChange(ClientState.CONNECTING, ClientState.LOST, "why")]
