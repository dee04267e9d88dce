"""What `Client.publish` hands out: one registration, as long as you want it."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zreg.client.core.commands import PublicationRefused, SetPublication, WithdrawPublication
from zreg.client.view import Endpoint, Value, pack_values
from zreg.errors import UsageError, refusal
from zreg.model import DataInfoId

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from zreg.client.runtime import Runtime

# Stands in for the host that is not known yet, to find broken limits in the call all the same.
_ANY_HOST = "255.255.255.255"


class Publication:
    """One registration. Everything here returns at once, but for `wait_registered`.

    The newest of `republish` and `unpublish` wins; leaving a `with` block unpublishes.
    """

    def __init__(
        self,
        runtime: "Runtime",
        data_info_id: DataInfoId,
        values: Sequence[Value],
        attributes: Mapping[str, str],
    ) -> None:
        self.data_info_id = data_info_id
        self.publisher_id = os.urandom(16)
        self._runtime = runtime
        # What follows is guarded by the runtime's lock.
        self._is_queued = False
        self._is_handed_over = False
        self._is_withdrawn = False
        self._is_registered = False
        self._refusal: PublicationRefused | None = None
        self._host: str | None = None
        self._set(values, attributes)

    @property
    def values(self) -> tuple[Value, ...]:
        """What was published last."""
        return self._values

    @property
    def is_registered(self) -> bool:
        """Whether the registry holds what was published last."""
        return self._is_registered

    def wait_registered(self, timeout_seconds: float = 30.0) -> "Self":
        """Wait until the data nodes hold it; raises what it was refused with."""
        if not self._is_registered:
            self._runtime.wait(self._is_settled, timeout_seconds, self._why_waiting)
        return self

    def republish(self, *values: Value, attributes: Mapping[str, str] | None = None) -> None:
        """Publish these values in place of those before; attributes stay if none are given."""
        self._runtime.check_open()
        with self._runtime.changed:
            if self._is_withdrawn and self._is_handed_over:
                # Its old identity has been unpublished, and stays so.
                self.publisher_id = os.urandom(16)
                self._is_handed_over = False
            self._set(values, self._attributes if attributes is None else attributes)
            self._is_withdrawn = False
            self._runtime.add_publication(self)
            self.submit()

    def unpublish(self) -> None:
        """Take it back; twice is fine."""
        self._runtime.check_open()
        with self._runtime.changed:
            if not self._is_withdrawn:
                self._is_withdrawn = True
                self._is_registered = False
                self._runtime.remove_publication(self)
                if self._is_handed_over:
                    self._runtime.post(WithdrawPublication(self.publisher_id))

    def __enter__(self) -> "Self":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """Unpublish; a closed client, or a forked child, has nothing to take back."""
        if self._runtime.is_usable:
            self.unpublish()

    def __repr__(self) -> str:
        """Show the name and how far it is."""
        states = {"withdrawn": self._is_withdrawn, "registered": self._is_registered}
        state = next((name for name, holds in states.items() if holds), "pending")
        return f"<Publication {self.data_info_id} {self.publisher_id.hex()[:8]} {state}>"

    # --- for the runtime, which holds the lock ------------------------------------------------

    @property
    def needs_host(self) -> bool:
        """Whether it names an endpoint whose host zreg has to find out."""
        return self._needs_host

    def submit(self) -> None:
        """Hand the newest state over; it waits for a host if it needs one."""
        self._is_registered = False
        self._refusal = None
        if self._needs_host:
            self._host = self._runtime.local_host()
            if self._host is None:
                return
            self._pack()
        if not self._is_queued:
            self._is_queued = True
            self._runtime.post(self)

    def take_command(self) -> SetPublication | None:
        """Return what the core is to hold, None if that was taken back meanwhile."""
        self._is_queued = False
        if self._is_withdrawn:
            return None
        self._is_handed_over = True
        return SetPublication(self.publisher_id, self.data_info_id, self._body)

    def host_found(self, host: str) -> None:
        """Publish again if the host is another one now."""
        if host != self._host:
            self.submit()

    def registered(self) -> None:
        """Note that the registry holds what the core was given; newer may wait to be given."""
        self._is_registered = not self._is_queued
        self._refusal = None

    def refused(self, event: PublicationRefused) -> None:
        """Note the no."""
        self._refusal = event

    # --- helpers ----------------------------------------------------------------------------

    def _set(self, values: Sequence[Value], attributes: Mapping[str, str]) -> None:
        """Take new values if they can be published at all."""
        needs_host = any(type(each) is Endpoint and each.host is None for each in values)
        registered_at = time.time_ns() / 1e9
        self._body = pack_values(
            values, attributes=attributes, host=_ANY_HOST, registered_at=registered_at
        )
        self._values = tuple(values)
        self._attributes = attributes
        self._needs_host = needs_host
        self._registered_at = registered_at

    def _pack(self) -> None:
        self._body = pack_values(
            self._values,
            attributes=self._attributes,
            host=self._host,
            registered_at=self._registered_at,
        )

    def _is_settled(self) -> bool:
        if self._is_withdrawn:
            raise UsageError("this publication was unpublished: republish it to wait for it")
        if self._refusal is not None and self._refusal.is_final:
            raise refusal(self._refusal.code, self._refusal.detail)
        return self._is_registered

    def _why_waiting(self) -> str:
        if self._refusal is not None:
            return (
                f"{self.data_info_id} is not registered yet, it is asked again; the last answer "
                f"was: {self._refusal.detail}"
            )
        if self._needs_host and self._host is None:
            return (
                f"{self.data_info_id} is not registered, this machine's address is not known: "
                f"{self._runtime.why_waiting()}"
            )
        return f"{self.data_info_id} is not registered: {self._runtime.why_waiting()}"
