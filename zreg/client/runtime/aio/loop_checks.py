"""Run checks of health on the event loop of the program: functions at once, coroutines in tasks."""

import asyncio
import inspect
from collections.abc import Awaitable

from zreg.client.health.outcome import reason_of_result
from zreg.client.runtime.aio.coroutine_callbacks import CoroutineCallbacks
from zreg.client.runtime.health.check_call import CheckCall, Outcome, failure


class LoopChecks:
    """The checks of one client that are under way.

    A check runs in the context in which it was given. Of the errors that it raises, those that end
    a program go on to the loop as well, as they would from any other code there.
    """

    def __init__(self, tasks: CoroutineCallbacks) -> None:
        self._tasks = tasks
        self._running: dict[CheckCall, asyncio.Task[None]] = {}

    def add_user(self) -> None:
        """Do nothing: it belongs to one client."""

    def remove_user(self) -> None:
        """Do nothing: `cancel` ends what runs."""

    def begin(self, call: CheckCall) -> None:
        """Make the call; await in a task what it returns."""
        if not call.begin():
            call.end(None)
            return
        try:
            result = call.context.run(call.function)
        except (KeyboardInterrupt, SystemExit) as error:
            call.end(failure(error))
            raise
        except BaseException as error:  # noqa: BLE001 -- what a check raises is its reason
            call.end(failure(error))
            return
        if not inspect.isawaitable(result):
            call.end(Outcome(reason_of_result(result)))
            return
        task = call.context.run(self._tasks.start, self._finish(result, call))
        if not task.done():
            self._running[call] = task

    def give_up(self, call: CheckCall) -> None:
        """Cancel a check that takes too long."""
        if (task := self._running.get(call)) is not None:
            task.cancel()

    def retry(self) -> None:
        """Do nothing: no call waits."""

    def cancel(self) -> None:
        """Cancel all checks, except those that close the client."""
        closers = self._tasks.closers()
        for task in list(self._running.values()):
            if task not in closers:
                task.cancel()

    async def _finish(self, awaitable: Awaitable[object], call: CheckCall) -> None:
        outcome: Outcome | None = None
        try:
            outcome = Outcome(reason_of_result(await awaitable))
        except asyncio.CancelledError as error:
            outcome = failure(error)
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        except (KeyboardInterrupt, SystemExit) as error:
            outcome = failure(error)
            raise
        except BaseException as error:  # noqa: BLE001 -- what a check raises is its reason
            outcome = failure(error)
        finally:
            self._running.pop(call, None)
            call.end(outcome)

    def __repr__(self) -> str:
        """Show how many checks run."""
        return f"<LoopChecks running={len(self._running)}>"
