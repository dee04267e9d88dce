"""What a program can say about how its calls are spread."""

import enum
import math
from collections.abc import Collection
from typing import TypedDict

import msgspec

from zreg.client.balancing.selection import Selection, Where, check_where, checked_selection
from zreg.errors import UsageError


class Policy(enum.Enum):
    """How one of the instances is chosen for a call. All but CONSISTENT_HASH need no key."""

    ROUND_ROBIN = "round_robin"
    """In turn, by weight. The default."""

    RANDOM = "random"
    """At random, by weight. For many clients that make few calls each."""

    LEAST_IN_FLIGHT = "least_in_flight"
    """The one with the fewest calls under way for its weight; in turn among equals. Needs
    `lease()`, which counts them. For calls whose costs differ much."""

    TWO_CHOICES = "two_choices"
    """The faster of two that are drawn by weight. Needs `lease()`, or `report(seconds=)`. For
    instances whose speeds differ."""

    CONSISTENT_HASH = "consistent_hash"
    """The one that owns the key of the call, `pick(key=)`. For instances that keep what they know
    of a key. Any other policy does the same for a call that has a key."""


class Ejection(msgspec.Struct, frozen=True, kw_only=True):
    """When an instance that fails is set aside, for how long, and how many at most."""

    failures: int = 1
    """So many failures, without a success between them, set it aside."""
    seconds: float = 5.0
    """How long the first time; twice as long each time that it fails soon after its return."""
    seconds_max: float = 60.0
    """How long at most. An instance fails soon if it fails within this time."""
    share_max: float = 0.5
    """At most this share of the instances at one time, and never all. 0: none is set aside."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a rule that cannot work."""
        failures: object = self.failures
        if not isinstance(failures, int) or isinstance(failures, bool) or failures < 1:
            raise UsageError(f"failures {failures!r:.80} cannot be used: give a number from 1 on")
        for name, most in (("seconds", math.inf), ("seconds_max", math.inf), ("share_max", 1)):
            number: object = getattr(self, name)
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            if not is_number or not 0 <= number <= most or number == math.inf:  # type: ignore[operator]
                form = "give a number from 0 to 1" if most == 1 else "give seconds"
                raise UsageError(f"{name} {number!r:.80} cannot be used: {form}")
        if self.seconds_max < self.seconds:
            raise UsageError(
                f"seconds_max {self.seconds_max} must not be below seconds {self.seconds}"
            )


class BalancingOptions(TypedDict, total=False):
    """The keywords of `Client.service` that say how calls are spread."""

    policy: Policy
    # Prefer the instances of the client's own zone, while at least `zone_min` can be picked there.
    zone_first: bool
    zone_min: int
    ejection: Ejection
    # Which instances there are for this service at all; `pick` takes the same, for one call.
    version: str | None
    tags: Collection[str]
    zone: str | None
    where: Where | None


class Balancing(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one service, checked. Raises `UsageError` for one that cannot be used."""

    policy: Policy = Policy.ROUND_ROBIN
    zone_first: bool = False
    zone_min: int = 1
    ejection: Ejection = Ejection()
    version: str | None = None
    tags: Collection[str] = ()
    zone: str | None = None
    where: Where | None = None

    def __post_init__(self) -> None:
        """Check each option, as programs pass them on without a type checker."""
        if not isinstance(self.policy, Policy):
            names = ", ".join(f"zreg.Policy.{each.name}" for each in Policy)
            raise UsageError(f"policy {self.policy!r:.80} cannot be used: give one of {names}")
        if not isinstance(self.zone_first, bool):
            raise UsageError(f"zone_first {self.zone_first!r:.80} cannot be used: give True")
        zone_min: object = self.zone_min
        if not isinstance(zone_min, int) or isinstance(zone_min, bool) or zone_min < 1:
            raise UsageError(f"zone_min {zone_min!r:.80} cannot be used: give a number from 1 on")
        if not isinstance(self.ejection, Ejection):
            raise UsageError(f"ejection {self.ejection!r:.80} cannot be used: give zreg.Ejection()")
        # The set replaces what was given: a generator would be empty when it is read again.
        selection = checked_selection(self.version, self.tags, self.zone)
        msgspec.structs.force_setattr(self, "tags", selection.tags)
        check_where(self.where)

    def selection(self) -> Selection:
        """Return which instances there are for this service."""
        return checked_selection(self.version, self.tags, self.zone)
