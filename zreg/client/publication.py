"""What `Client.publish` returns: one registration, for as long as you want it."""

import contextlib
from typing import TYPE_CHECKING

from zreg.client.arguments import seconds_to_wait
from zreg.client.handles.publication_drain import PublicationDrain
from zreg.client.handles.publication_handle import PublicationHandle
from zreg.client.runtime.publication_state import PublicationState
from zreg.errors import ClosedError, TimeoutError  # noqa: A004 -- a subclass of the built-in one

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime.threads.thread_runtime import ThreadRuntime


class Draining(PublicationDrain):
    """A `with` block in which no consumer picks a publication. `publication.draining()` makes it.

    An exception, of the wait or of the block, gives the weight back as well.
    """

    def __init__(
        self,
        publication: "Publication",
        runtime: "ThreadRuntime",
        state: PublicationState,
        seconds: float,
    ) -> None:
        super().__init__(runtime, state, seconds)
        self._waiting_runtime = runtime
        self._publication = publication

    def __enter__(self) -> "Publication":
        """Set the weight to 0, and wait until calls that are under way have ended."""
        try:
            self.begin()
            _wait_out(self._waiting_runtime, self)
        except BaseException:
            self.end()
            raise
        return self._publication

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Give the weight back."""
        self.end()


def _wait_out(runtime: "ThreadRuntime", drain: PublicationDrain) -> None:
    """Wait until the seconds have passed; `ClosedError` if the client ends before."""
    with contextlib.suppress(TimeoutError):
        runtime.wait(drain.is_pointless, drain.seconds, drain.why_waiting)


class Publication(PublicationHandle):
    """One registration. Every method returns at once, except `wait_registered` and `drain`.

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

    def drain(self, seconds: float = 10.0) -> None:
        """Have consumers stop picking it, wait until their calls have ended, and unpublish it.

        Its endpoints have weight 0 for so many seconds. An interrupt unpublishes it at once; so
        does the end of its client, and then this returns.
        """
        drain = PublicationDrain(self._runtime, self._state, seconds)
        try:
            drain.begin()
            _wait_out(self._runtime, drain)
        except ClosedError:
            if not drain.is_under_way:
                raise
        finally:
            if drain.is_under_way and self._runtime.lifecycle.is_running:
                self.unpublish()
            drain.end()

    def draining(self, seconds: float = 10.0) -> "Draining":
        """Return a `with` block in which consumers do not pick it; then the weight comes back.

        Its endpoints have weight 0. The block begins after so many seconds, in which calls that
        are under way end.
        """
        return Draining(self, self._runtime, self._state, seconds)

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
