"""What is known of the health of one publication, and what follows from it."""

import enum
from typing import Final

import msgspec


class HealthState(enum.Enum):
    """What is known of the health of a publication, and whether subscribers see it."""

    UNCHECKED = "unchecked"
    """It was published without `health=`: subscribers see it."""

    UNKNOWN = "unknown"
    """Its first check has not ended yet: it is not published before that."""

    HEALTHY = "healthy"
    """Its checks succeed, or fewer than `health_failures_max` have failed in a row."""

    UNHEALTHY = "unhealthy"
    """Its check fails: it is withdrawn or marked, until a check succeeds again."""


class WhenUnhealthy(enum.Enum):
    """What becomes of a publication that is unhealthy."""

    WITHDRAW = "withdraw"
    """Subscribers do not see it."""

    MARK = "mark"
    """Subscribers see it with weight 0, so that no `Service` picks it, and with the reason in the
    attribute `zreg.health`."""


class InstanceHealth(msgspec.Struct, frozen=True):
    """The health of one publication. `reason` says why its last check failed; empty otherwise."""

    state: HealthState
    reason: str = ""


UNCHECKED: Final = InstanceHealth(HealthState.UNCHECKED)
UNKNOWN: Final = InstanceHealth(HealthState.UNKNOWN)
HEALTHY: Final = InstanceHealth(HealthState.HEALTHY)
