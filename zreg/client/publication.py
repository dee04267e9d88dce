"""What `Client.publish` returns: one registration, for as long as you want it."""

from typing import TYPE_CHECKING

from zreg.client.arguments import seconds_to_wait
from zreg.client.handles.publication_handle import PublicationHandle

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime


class Publication(PublicationHandle):
    """One registration. Every method returns at once, except `wait_registered`.

    The last call of `republish` and `unpublish` wins; leaving a `with` block unpublishes. It lasts
    until then, or until its client ends; as long as you keep it, it keeps its client.
    """

    __slots__ = ()

    _runtime: "ThreadRuntime"

    def wait_registered(self, timeout_seconds: float = 30.0) -> "Self":
        """Wait until its data node holds it; raise the refusal if the registry refuses it."""
        self._runtime.lifecycle.enter_process()
        state = self._state
        if state.is_registered:
            seconds_to_wait(timeout_seconds)
        else:
            self._runtime.wait(self._is_settled, timeout_seconds, state.why_waiting)
        return self

    def __enter__(self) -> "Self":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Unpublish; a closed client, or a forked child, has nothing to withdraw."""
        if self._runtime.lifecycle.is_running:
            self.unpublish()
