"""What `AsyncClient.publish` returns: one registration, for as long as you want it."""

import contextlib
from typing import TYPE_CHECKING

from zreg.client.handles.publication_drain import PublicationDrain
from zreg.client.handles.publication_handle import PublicationHandle
from zreg.client.runtime.publication_state import PublicationState
from zreg.errors import ClosedError, TimeoutError  # noqa: A004 -- a subclass of the built-in one

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.aio.loop_runtime import LoopRuntime


class AsyncDraining(PublicationDrain):
    """An `async with` block in which no consumer picks a publication; see `draining()`.

    An exception, of the wait or of the block, gives the weight back as well.
    """

    def __init__(
        self,
        publication: "AsyncPublication",
        runtime: "LoopRuntime",
        state: PublicationState,
        seconds: float,
    ) -> None:
        super().__init__(runtime, state, seconds)
        self._waiting_runtime = runtime
        self._publication = publication

    async def __aenter__(self) -> "AsyncPublication":
        """Set the weight to 0, and wait until calls that are under way have ended."""
        try:
            self.begin()
            await _wait_out(self._waiting_runtime, self._state, self)
        except BaseException:
            self.end()
            raise
        return self._publication

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Give the weight back."""
        self.end()


async def _wait_out(
    runtime: "LoopRuntime", state: PublicationState, drain: PublicationDrain
) -> None:
    """Wait until the seconds have passed; `ClosedError` if the client ends before."""
    with contextlib.suppress(TimeoutError):
        await runtime.wait(
            drain.is_pointless, drain.seconds, drain.why_waiting, lambda: state.publisher_id
        )


class AsyncPublication(PublicationHandle):
    """One registration. `wait_registered` and `drain` are awaited; all else returns at once.

    The last call of `republish` and `unpublish` wins; leaving an `async with` block unpublishes. It
    lasts until then, or until its client ends; as long as you keep it, it keeps its client.
    """

    __slots__ = ()

    _runtime: "LoopRuntime"

    async def wait_registered(self, timeout_seconds: float = 30.0) -> "Self":
        """Wait until its data node holds it; raise the refusal if the registry refuses it."""
        state = self._state
        await self._runtime.wait(
            self._is_settled, timeout_seconds, state.why_waiting, lambda: state.publisher_id
        )
        return self

    async def drain(self, seconds: float = 10.0) -> None:
        """Have consumers stop picking it, wait until their calls have ended, and unpublish it.

        Its endpoints have weight 0 for so many seconds. A cancellation unpublishes it at once; so
        does the end of its client, and then this returns.
        """
        drain = PublicationDrain(self._runtime, self._state, seconds)
        try:
            drain.begin()
            await _wait_out(self._runtime, self._state, drain)
        except ClosedError:
            if not drain.is_under_way:
                raise
        finally:
            if drain.is_under_way and self._runtime.lifecycle.is_running:
                self.unpublish()
            drain.end()

    def draining(self, seconds: float = 10.0) -> "AsyncDraining":
        """Return a `with` block in which consumers do not pick it; then the weight comes back.

        It is an `async with` block. Its endpoints have weight 0. The block begins after so many
        seconds, in which calls that are under way end.
        """
        return AsyncDraining(self, self._runtime, self._state, seconds)

    async def __aenter__(self) -> "Self":
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Unpublish; a closed client, or a forked child, has nothing to withdraw."""
        if self._runtime.lifecycle.is_running:
            self.unpublish()
