"""The attempts of one call: each goes to another instance, and only if it is safe to repeat it."""

from collections.abc import Callable
from typing import Final

from zreg.client.balancing.choosers.key_slots import Key
from zreg.client.handles.call_lease import Lease, Outcome
from zreg.client.handles.instance_picker import InstancePicker
from zreg.client.view.endpoint import Endpoint
from zreg.errors import NoInstanceError

# RFC 9110, section 9.2.2: to carry out the request twice has the effect of once.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


def is_idempotent(method: str) -> bool:
    """Return whether a request with this method of HTTP may be carried out twice."""
    return method.upper() in _IDEMPOTENT


class Attempts:
    """One call, which has an instance from the beginning until one of the methods ends it.

    A request that has reached no instance may go to the next one. One that was sent may have been
    carried out, so it goes on only if `is_repeatable`. An instance is tried once.
    """

    __slots__ = (
        "_is_repeatable",
        "_key",
        "_lease",
        "_picker",
        "_retries_left",
        "_tried",
        "endpoint",
    )

    def __init__(
        self, picker: InstancePicker, *, retries: int, is_repeatable: bool, key: Key | None = None
    ) -> None:
        """Pick the first instance; raise `NoInstanceError` without one."""
        self._picker = picker
        self._retries_left = retries
        self._is_repeatable = is_repeatable
        self._key = key
        self._tried: set[str] = set()
        self._lease: Lease | None = None
        self.endpoint = self._begin()

    def answered(self) -> None:
        """Note that the answer has begun: the latency of the call is known, and the call goes on.

        The call succeeded, unless `fail` says later that the rest of the answer did not come.
        """
        if self._lease is not None:
            self._lease.answered()

    def succeed(self) -> None:
        """Note that the call is over; of the methods that end it, the first one counts."""
        self._end(Outcome.SUCCEEDED)

    def fail(self) -> None:
        """Note that the instance failed, and that the call is over."""
        self._end(Outcome.FAILED)

    def give_up(self) -> None:
        """Note that the call is over, which says nothing of the instance."""
        self._end(Outcome.UNKNOWN)

    def go_on(self, *, was_sent: bool) -> bool:
        """Note that the instance failed; return whether `endpoint` is another one to be tried."""
        self._end(Outcome.FAILED)
        if self._retries_left <= 0 or (was_sent and not self._is_repeatable):
            return False
        self._retries_left -= 1
        try:
            self.endpoint = self._begin()
        except NoInstanceError:
            # The program is told how the call failed, which says more.
            return False
        return True

    def __del__(self) -> None:
        """End the call of an answer that the program has dropped without closing it."""
        if getattr(self, "_lease", None) is not None:
            self.give_up()

    def _begin(self) -> Endpoint:
        lease = self._picker.lease(self._key, where=self._where())
        endpoint = lease.__enter__()
        self._lease = lease
        self._tried.add(endpoint.address)
        return endpoint

    def _where(self) -> Callable[[Endpoint], object] | None:
        if not self._tried:
            return None
        return lambda endpoint: endpoint.address not in self._tried

    def _end(self, outcome: Outcome) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end(outcome)
