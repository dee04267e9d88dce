"""Instances that fail are set aside, for a bounded time, and only some of them at once."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from zreg.client.balancing.instance import Instance
from zreg.client.balancing.policy import Ejection

_SPARE_ENTRIES: Final = 64


class Moved(NamedTuple):
    """Which instance is set aside now, and which ones may be picked again."""

    ejected: Instance | None = None
    returned: tuple[Instance, ...] = ()


class Ejections:
    """Which instances are set aside, and until when.

    Invariants: of `count` instances, at most `share_max` are set aside, and never all. Each returns
    when its time is over, or when a call to it succeeds that began after it was set aside.

    If one more fails than may be set aside, it takes the place of the one whose time ends first:
    the newest failure is the best knowledge, and an instance gets its next chance sooner.
    """

    def __init__(self, rule: Ejection) -> None:
        self._rule = rule
        self._until: dict[Instance, float] = {}
        # Has entries of instances that have returned meanwhile.
        self._queue: list[tuple[float, int, Instance]] = []
        # Orders entries of one time, as instances have no order.
        self._entry_number = 0

    def __len__(self) -> int:
        """Return how many instances are set aside."""
        return len(self._until)

    def on_failure(self, instance: Instance, now: float, *, count: int) -> Moved:
        """Note a failed call to one of `count` instances.

        A failure of an instance that is set aside says nothing new: the call had begun before.
        """
        rule = self._rule
        instance.failed_at = now
        instance.failures_in_row += 1
        most = self._most(count)
        if instance.is_ejected or instance.failures_in_row < rule.failures or not most:
            return Moved()
        returned = self._return_down_to(most - 1, now)
        is_soon = now - instance.returned_at <= rule.seconds_max
        instance.level = instance.level + 1 if is_soon else 0
        # Beyond some level the power of two would overflow, and the bound is reached long before.
        seconds = min(rule.seconds * 2.0 ** min(instance.level, 30), rule.seconds_max)
        instance.is_ejected, instance.ejected_at = True, now
        self._until[instance] = now + seconds
        self._entry_number += 1
        heappush(self._queue, (now + seconds, self._entry_number, instance))
        if len(self._queue) > 2 * len(self._until) + _SPARE_ENTRIES:
            self._queue = [each for each in self._queue if self._until.get(each[2]) == each[0]]
            heapify(self._queue)
        return Moved(instance, tuple(returned))

    def on_success(self, instance: Instance, now: float, *, began_at: float | None) -> Moved:
        """Note a call that succeeded; None: it succeeded now, and began when that is not known.

        Only failures from before the call began are outweighed by it.
        """
        if began_at is None or began_at > instance.failed_at:
            instance.failures_in_row = 0
        if not instance.is_ejected or (began_at is not None and began_at <= instance.ejected_at):
            return Moved()
        self._return(instance, now)
        return Moved(returned=(instance,))

    def on_time(self, now: float) -> Iterable[Instance]:
        """Return the instances whose time is over."""
        if not self._queue or self._queue[0][0] > now:
            return ()
        returned = []
        while self._queue and self._queue[0][0] <= now:
            until, _, instance = heappop(self._queue)
            if self._until.get(instance) == until:
                self._return(instance, now)
                returned.append(instance)
        return returned

    def on_count_changed(self, count: int, now: float) -> Iterable[Instance]:
        """Return the instances that may be picked again, since there are fewer instances now."""
        return self._return_down_to(self._most(count), now)

    def forget(self, instance: Instance) -> None:
        """Note that an instance is gone, or gets no calls any more."""
        self._until.pop(instance, None)
        instance.is_ejected = False

    def _most(self, count: int) -> int:
        return max(0, min(int(count * self._rule.share_max), count - 1))

    def _return_down_to(self, most: int, now: float) -> list[Instance]:
        returned = []
        while len(self._until) > most:
            until, _, instance = heappop(self._queue)
            if self._until.get(instance) == until:
                self._return(instance, now)
                returned.append(instance)
        return returned

    def _return(self, instance: Instance, now: float) -> None:
        del self._until[instance]
        instance.is_ejected, instance.returned_at = False, now
        # On probation: its next failure sets it aside again.
        instance.failures_in_row = self._rule.failures - 1
