"""How publications are checked, and the verdict on one that follows from its checks."""

from typing import Final

import msgspec

from zreg.client.health.instance_health import (
    HEALTHY,
    UNKNOWN,
    HealthState,
    InstanceHealth,
    WhenUnhealthy,
)


class CheckRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a publication is checked, and what becomes of it when it is unhealthy."""

    interval_seconds: float = 5.0
    timeout_seconds: float = 2.0
    # As many failures in a row make a healthy publication unhealthy.
    failures_max: int = 1
    when_unhealthy: WhenUnhealthy = WhenUnhealthy.WITHDRAW


class Verdict:
    """The health that follows from checks, one after the other."""

    def __init__(self, failures_max: int) -> None:
        self._failures_max: Final = failures_max
        self._failures = 0
        self.health = UNKNOWN

    def on_success(self) -> None:
        """Note a check that found the instance healthy; one is enough."""
        self._failures = 0
        self.health = HEALTHY

    def on_failure(self, reason: str) -> None:
        """Note a check that failed.

        An instance that was not healthy yet has nothing to lose, so its first failure counts.
        """
        self._failures += 1
        is_healthy = self.health.state is HealthState.HEALTHY
        if is_healthy and self._failures < self._failures_max:
            self.health = InstanceHealth(HealthState.HEALTHY, reason)
        else:
            self.health = InstanceHealth(HealthState.UNHEALTHY, reason)
