"""What `AsyncClient.publish` returns: one registration, for as long as you want it."""

from typing import TYPE_CHECKING

from zreg.client.handles.publication_handle import PublicationHandle

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.aio.loop_runtime import LoopRuntime


class AsyncPublication(PublicationHandle):
    """One registration. `wait_registered` is awaited; every other method returns at once.

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
