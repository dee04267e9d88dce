"""What `Client.service` returns: the instances of a service, one of them for each call."""

from typing import TYPE_CHECKING

from zreg.client.arguments import checked_count
from zreg.client.handles.instance_picker import InstancePicker

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.subscription import Subscription


class Service(InstancePicker):
    """The instances of a service. Any thread may pick, lease, report and wait."""

    _subscription: "Subscription"

    def wait_up(self, min_up: int = 1, timeout_seconds: float = 30.0) -> "Self":
        """Wait until at least `min_up` instances get calls."""
        checked_count(min_up, "min_up")
        self._subscription.wait_until(
            lambda: self._up_count() >= min_up,
            timeout_seconds=timeout_seconds,
            wanted=lambda: self._how_far(min_up),
        )
        return self

    def __enter__(self) -> "Self":
        """Return itself; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Close."""
        self.close()
