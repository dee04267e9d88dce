"""Pick an instance of a service for each call, on an event loop."""

from typing import TYPE_CHECKING

from zreg.client.arguments import checked_count
from zreg.client.handles.instance_picker import InstancePicker

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.aio.async_subscription import AsyncSubscription


class AsyncService(InstancePicker):
    """The instances of a service. `wait_up` is awaited; every other method returns at once."""

    _subscription: "AsyncSubscription"

    async def wait_up(self, min_up: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until at least `min_up` instances get calls."""
        checked_count(min_up, "min_up")
        await self._subscription.wait_until(
            lambda: self._up_count() >= min_up,
            timeout_seconds=timeout_seconds,
            wanted=lambda: self._how_far(min_up),
        )
        return self

    async def __aenter__(self) -> "Self":
        """Return itself; leaving the block closes it."""
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close."""
        self.close()
