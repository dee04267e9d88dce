"""One instance of a service, and what the calls to it have shown."""

import math
from typing import Final

from zreg.client.view.endpoint import Endpoint

# What was measured counts for about so long: an instance that was slow is tried again then.
LATENCY_DECAY_SECONDS: Final = 10.0
# A failed call counts as a call that took at least so long, so that failing fast wins no calls.
FAILED_CALL_SECONDS: Final = 1.0


class Instance:
    """One instance. Its identity lasts as long as its address is published."""

    __slots__ = (
        "_latency",
        "_measured_at",
        "ejected_at",
        "endpoint",
        "failed_at",
        "failures_in_row",
        "in_flight",
        "is_ejected",
        "level",
        "number",
        "order",
        "returned_at",
        "zone",
    )

    def __init__(self, number: int, endpoint: Endpoint, zone: str) -> None:
        self.number = number
        self.endpoint = endpoint
        self.zone = zone
        # The publisher id and position that it was read from: the order in which it is shown.
        self.order = (b"", 0)
        self.in_flight = 0
        self._latency: float | None = None
        self._measured_at = 0.0
        # `Ejections` keeps these.
        self.is_ejected = False
        self.failures_in_row = self.level = 0
        self.failed_at = self.ejected_at = self.returned_at = -math.inf

    def latency(self, now: float) -> float | None:
        """Return how long calls take, in seconds; it decays to 0. None before the first one."""
        if self._latency is None:
            return None
        return self._latency * math.exp((self._measured_at - now) / LATENCY_DECAY_SECONDS)

    def measure(self, seconds: float, now: float) -> None:
        """Take in how long a call took: a slower one counts at once, a faster one by and by.

        Source: the peak-sensitive moving average of Finagle's load balancer (`PeakEwma`).
        """
        latency = self._latency
        if latency is None or seconds > latency:
            self._latency = seconds
        else:
            kept = math.exp((self._measured_at - now) / LATENCY_DECAY_SECONDS)
            self._latency = latency * kept + seconds * (1.0 - kept)
        self._measured_at = now
