"""What is the same of a drain on threads and on an event loop: all that does not wait."""

import threading
from typing import TYPE_CHECKING

from zreg.client.arguments import checked_seconds
from zreg.client.runtime.publication_state import PublicationState
from zreg.client.view.marked import has_endpoint, without_weight
from zreg.errors import UsageError

if TYPE_CHECKING:
    from zreg.client.runtime.runtime import Runtime


class PublicationDrain:
    """One drain of a publication: while it is under way, the endpoints have weight 0.

    Drains of one publication may overlap: the weight comes back with the end of the last one. What
    is republished or updated meanwhile is published with weight 0, and in full after the end.
    """

    def __init__(self, runtime: "Runtime", state: PublicationState, seconds: object) -> None:
        self.seconds = checked_seconds(seconds, "seconds", least=0.0)
        self._runtime = runtime
        self._state = state
        self._thread = threading.current_thread()

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended."""
        return self in self._state.drains

    @property
    def is_in_process(self) -> bool:
        """Whether its thread runs in this process, and not in the parent of a forked child."""
        return self._thread.is_alive()

    def is_pointless(self) -> bool:
        """Whether there is nothing to wait for: the publication was unpublished."""
        return self._state.is_withdrawn

    def begin(self) -> None:
        """Set the weight to 0; `UsageError` if no value has one, or the caller may not wait."""
        runtime, state = self._runtime, self._state
        runtime.lifecycle.check_open()
        runtime.lifecycle.check_may_wait()
        if not has_endpoint(state.payload):
            raise UsageError(
                f"{state.data_info_id} cannot be drained, since none of its values has a weight: "
                "publish a zreg.Endpoint, or call unpublish()"
            )
        # Raises before anything has changed if there is no room for it.
        without_weight(state.payload)
        with runtime.changed:
            state.drains |= {self}
            runtime.show(state)

    def end(self) -> None:
        """Give the weight back; nothing happens if it has not begun, or the client is closed."""
        runtime, state = self._runtime, self._state
        if not self.is_under_way:
            return
        if not runtime.lifecycle.is_running:
            # Closed, or a forked child that has not used it: nothing is published.
            state.drains -= {self}
            return
        with runtime.changed:
            state.drains -= {self}
            runtime.show(state)

    def why_waiting(self) -> str:
        """Return a sentence that says what is waited for."""
        return f"{self._state.data_info_id} is drained"

    def __repr__(self) -> str:
        """Show the publication."""
        state = "under way" if self.is_under_way else "not under way"
        return f"<{type(self).__name__} {self._state.data_info_id} {self.seconds:g}s {state}>"
