"""The instances that some calls may go to, and the way to choose one of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from zreg.client.balancing.choosers.key_slots import Key, KeySlots, owner_among
from zreg.client.balancing.choosers.rotation import Rotation
from zreg.client.balancing.choosers.weighted_draw import TwoChoices, WeightedDraw
from zreg.client.balancing.instance import Instance
from zreg.client.balancing.policy import Policy

if TYPE_CHECKING:
    from random import Random


class Chooser(Protocol):
    """Chooses one of its members. All have a weight above 0; time is monotonic seconds."""

    def add(self, instance: Instance) -> None:
        """Take in an instance."""
        ...

    def remove(self, instance: Instance) -> None:
        """Leave out a member."""
        ...

    def choose(self, now: float) -> Instance:
        """Return a member; there must be one."""
        ...

    def choose_among(self, candidates: Sequence[Instance], now: float) -> Instance:
        """Return one of these instances; there must be one."""
        ...

    def on_load_changed(self, instance: Instance) -> None:
        """Note that an instance has more or fewer calls under way."""
        ...


def new_chooser(policy: Policy, rng: "Random") -> Chooser:
    """Return what chooses by this policy; calls without a key are in turn where keys decide."""
    match policy:
        case Policy.RANDOM:
            return WeightedDraw(rng)
        case Policy.TWO_CHOICES:
            return TwoChoices(rng)
        case Policy.LEAST_IN_FLIGHT:
            return Rotation(rng, by_load=True)
        case Policy.ROUND_ROBIN | Policy.CONSISTENT_HASH:
            return Rotation(rng)


class Pool:
    """The instances that are accepted, have a weight, and are there.

    Those that are set aside are chosen only while there are no others: to try one of them again is
    better than to give up.
    """

    def __init__(self, accepts: Callable[[Instance], bool], chooser: Chooser) -> None:
        self._accepts = accepts
        self._chooser = chooser
        # Made for the first call with a key.
        self._slots: KeySlots | None = None
        # Dicts, since they keep their order.
        self._usable: dict[Instance, None] = {}
        self._aside: dict[Instance, None] = {}

    @property
    def usable_count(self) -> int:
        """How many instances can be chosen and are not set aside."""
        return len(self._usable)

    @property
    def usable(self) -> list[Instance]:
        """The instances that can be chosen and are not set aside."""
        return list(self._usable)

    @property
    def aside(self) -> list[Instance]:
        """The instances that are set aside."""
        return list(self._aside)

    def add(self, instance: Instance) -> None:
        """Take in an instance, if it is accepted and has a weight."""
        if not instance.endpoint.weight or not self._accepts(instance):
            return
        if instance.is_ejected:
            self._aside[instance] = None
            return
        self._usable[instance] = None
        self._chooser.add(instance)
        if self._slots is not None:
            self._slots.add(instance)

    def remove(self, instance: Instance) -> None:
        """Leave out an instance, if it is here."""
        self._aside.pop(instance, None)
        if instance in self._usable:
            del self._usable[instance]
            self._chooser.remove(instance)
            if self._slots is not None:
                self._slots.remove(instance)

    def on_load_changed(self, instance: Instance) -> None:
        """Note that an instance has more or fewer calls under way."""
        self._chooser.on_load_changed(instance)

    def choose(self, now: float, key: Key | None) -> Instance | None:
        """Return an instance, for a key its owner; None if there is none."""
        if self._usable:
            return self._chooser.choose(now) if key is None else self._owner(key)
        if not self._aside:
            return None
        if key is not None:
            return owner_among(key, list(self._aside))
        instance = next(iter(self._aside))
        # They take turns.
        self._aside[instance] = self._aside.pop(instance)
        return instance

    def choose_among(
        self, candidates: Sequence[Instance], now: float, key: Key | None
    ) -> Instance | None:
        """Return one of these; None if no one has a weight."""
        candidates = [each for each in candidates if each.endpoint.weight]
        if not candidates:
            return None
        if key is not None:
            return owner_among(key, candidates)
        return self._chooser.choose_among(candidates, now)

    def _owner(self, key: Key) -> Instance:
        if self._slots is None:
            self._slots = KeySlots()
            for instance in self._usable:
                self._slots.add(instance)
        return self._slots.owner(key)
