"""Which instance owns a key: few keys move when instances come and go.

A key belongs to one of many slots, and each instance has a score for each slot, from a hash of both
and its weight. The highest score owns the slot. So a slot moves only to an instance that is new or
heavier, or away from one that is gone or lighter, and all clients that see the same instances
agree. Source: weighted rendezvous hashing (Thaler and Ravishankar; Schindelhauer and Schomaker).

The owner of a slot is computed when a key of it is first looked up, and is compared later only with
the instances that were added since.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from zreg.client.balancing.instance import Instance

Key = str | bytes | int
# With 1,000 instances each has about 33 of them, give or take a sixth.
SLOT_COUNT: Final = 1 << 15
_FACTOR_1: Final = 0xBF58476D1CE4E5B9
_FACTOR_2: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1
_UNIT: Final = 2.0**-64
# The additions that are remembered, at least.
_ADDED_MIN: Final = 64


class _Member(NamedTuple):
    """An instance that can own slots; a new one each time that it is added."""

    seed: int
    weight: int
    instance: Instance


class _Owner(NamedTuple):
    """The owner of a slot, and how many additions it was compared with."""

    member: _Member
    compared: int


class KeySlots:
    """The owners of keys among its members."""

    def __init__(self) -> None:
        self._members: dict[Instance, _Member] = {}
        self._owners: dict[int, _Owner] = {}
        self._added: list[_Member] = []

    def add(self, instance: Instance) -> None:
        """Take in an instance: it takes over the slots in which it has the highest score."""
        if len(self._added) >= max(_ADDED_MIN, len(self._members)):
            # To compare with so many costs as much as to compute the owner anew.
            self._added.clear()
            self._owners.clear()
        seed = _hashed(instance.endpoint.address.encode())
        member = _Member(seed, instance.endpoint.weight, instance)
        self._members[instance] = member
        self._added.append(member)

    def remove(self, instance: Instance) -> None:
        """Leave out an instance: its slots go to those with the next highest scores."""
        del self._members[instance]

    def owner(self, key: Key) -> Instance:
        """Return the instance that owns a key; there must be one."""
        slot = slot_of(key)
        owner = self._owners.get(slot)
        added = self._added
        if owner is None or self._members.get(owner.member.instance) is not owner.member:
            owner = _owner_of(slot, list(self._members.values()), len(added))
            self._owners[slot] = owner
        elif owner.compared < len(added):
            present = (owner.member, *self._present(owner.compared))
            owner = _owner_of(slot, present, len(added))
            self._owners[slot] = owner
        return owner.member.instance

    def _present(self, start: int) -> list[_Member]:
        members = self._members
        return [each for each in self._added[start:] if members.get(each.instance) is each]


def owner_among(key: Key, candidates: Sequence[Instance]) -> Instance:
    """Return which of these instances owns a key; there must be one."""
    slots = KeySlots()
    for instance in candidates:
        slots.add(instance)
    return slots.owner(key)


def slot_of(key: Key) -> int:
    """Return the slot of a key; a number has that of its decimal digits."""
    if isinstance(key, bytes):
        return _hashed(key) % SLOT_COUNT
    return _hashed(str(key).encode("utf-8", "surrogatepass")) % SLOT_COUNT


def _hashed(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def _owner_of(slot: int, members: Sequence[_Member], compared: int) -> _Owner:
    slot_seed = _hashed(slot.to_bytes(8))
    best, best_score, log = members[0], -math.inf, math.log
    for member in members:
        # The end of SplitMix64, in place: a function would double the cost of the loop.
        mixed = ((slot_seed ^ member[0]) * _FACTOR_1) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * _FACTOR_2) & _MASK
        score = log(((mixed ^ (mixed >> 31)) + 1) * _UNIT) / member[1]
        if score > best_score:
            best, best_score = member, score
    return _Owner(best, compared)
