"""Chooses an instance for each call, and learns from what became of the calls."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from zreg.client.balancing.choosers.key_slots import Key
from zreg.client.balancing.ejections import Ejections, Moved
from zreg.client.balancing.instance import FAILED_CALL_SECONDS, Instance
from zreg.client.balancing.instance_table import InstanceTable
from zreg.client.balancing.policy import Balancing
from zreg.client.balancing.pool import Pool, new_chooser
from zreg.client.balancing.selection import EVERY, Selection

if TYPE_CHECKING:
    from random import Random

    from zreg.client.view.view import Publisher

# A program that asks for ever new versions or tags makes no more pools than this.
_POOLS_MAX: Final = 32


class Balancer:
    """The instances of one service, in pools: one for each selection that the program uses.

    A change of an instance changes the pools that it is in, and nothing else. Calls go to a pool of
    the own zone first, if that is wanted, while enough of its instances can be picked.
    """

    def __init__(self, balancing: Balancing, *, own_zone: str, rng: "Random") -> None:
        self.table = InstanceTable()
        self._balancing = balancing
        self._own_zone = own_zone
        self._rng = rng
        self._ejections = Ejections(balancing.ejection)
        self._base = Selection(balancing.version, frozenset(balancing.tags), balancing.zone)
        # The pools of all instances, and of all of the own zone.
        self._every: dict[bool, Pool] = {}
        # By what is wanted, and whether it has to be in the own zone; the one used last is last.
        self._pools: dict[tuple[Selection, bool], Pool] = {}
        # The instances of this service that have a weight.
        self._up: set[Instance] = set()
        self._call_count = self._failure_count = 0

    # --- what is published -------------------------------------------------------------------

    def renew(self, publishers: Iterable["Publisher"], now: float) -> None:
        """Take over what is published now."""
        renewal = self.table.renew(publishers)
        for instance in renewal.removed:
            self._ejections.forget(instance)
            self._up.discard(instance)
            for pool in self._all_pools():
                pool.remove(instance)
        for instance in renewal.changed:
            self._note_whether_up(instance)
            self._place_again(instance)
        for instance in renewal.added:
            self._note_whether_up(instance)
            for pool in self._all_pools():
                pool.add(instance)
        if any(renewal):
            for instance in self._ejections.on_count_changed(len(self._up), now):
                self._place_again(instance)

    def refresh(self, now: float) -> None:
        """Let those instances return whose time is over."""
        for instance in self._ejections.on_time(now):
            self._place_again(instance)

    # --- choosing ----------------------------------------------------------------------------

    def choose(self, now: float, wanted: Selection, key: Key | None) -> Instance | None:
        """Return the instance for a call; None if there is none."""
        self.refresh(now)
        return self._pool(wanted).choose(now, key)

    def candidates(self, now: float, wanted: Selection) -> list[tuple[Pool, list[Instance]]]:
        """Return the instances that `choose` would choose from, the preferred ones first.

        Each group comes with the pool that is to choose among those of them that are left.
        """
        self.refresh(now)
        preferred, every = self._pool(wanted), self._pool_of(wanted, is_near=False)
        groups = [] if preferred is every else [(preferred, preferred.usable)]
        return [*groups, (every, every.usable), (every, every.aside)]

    # --- what became of calls ----------------------------------------------------------------

    def begin(self, instance: Instance) -> None:
        """Note that a call begins."""
        instance.in_flight += 1
        self._tell_load(instance)

    def end(self, instance: Instance) -> None:
        """Note that a call is over."""
        instance.in_flight -= 1
        self._tell_load(instance)

    def succeed(
        self, instance: Instance, now: float, *, seconds: float | None, began_at: float | None
    ) -> None:
        """Learn from a call that succeeded; None: its time or its beginning is not known."""
        self._call_count += 1
        if seconds is not None:
            instance.measure(seconds, now)
        self._apply(self._ejections.on_success(instance, now, began_at=began_at))

    def fail(self, instance: Instance, now: float, *, seconds: float | None) -> None:
        """Learn from a call that failed."""
        self._call_count += 1
        self._failure_count += 1
        if seconds is not None:
            # Otherwise a program that times no calls would compare one that failed with others that
            # were never measured.
            instance.measure(max(seconds, FAILED_CALL_SECONDS), now)
        # An instance that left, or gets no calls, is not counted and needs not to be set aside.
        if instance in self._up:
            self._apply(self._ejections.on_failure(instance, now, count=len(self._up)))

    # --- for people --------------------------------------------------------------------------

    @property
    def base(self) -> Selection:
        """Which instances there are for this service."""
        return self._base

    @property
    def up_count(self) -> int:
        """How many instances of this service get calls, those that are set aside included."""
        return len(self._up)

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes."""
        instances = list(self.table)
        return {
            "policy": self._balancing.policy.value,
            "own_zone": self._own_zone,
            "instances": len(instances),
            "in_own_zone": sum(each.zone == self._own_zone for each in instances),
            "drained": sum(not each.endpoint.weight for each in instances),
            "ejected": len(self._ejections),
            "in_flight": sum(each.in_flight for each in instances),
            "calls": self._call_count,
            "failures": self._failure_count,
            "skipped": self.table.skipped_count,
        }

    # --- pools -------------------------------------------------------------------------------

    def _pool(self, wanted: Selection) -> Pool:
        """Return the pool for what is wanted: that of the own zone if it is first and enough."""
        balancing = self._balancing
        if balancing.zone_first:
            near = self._pool_of(wanted, is_near=True)
            if near.usable_count >= balancing.zone_min:
                return near
        return self._pool_of(wanted, is_near=False)

    def _pool_of(self, wanted: Selection, *, is_near: bool) -> Pool:
        if wanted is EVERY:
            pool = self._every.get(is_near)
            if pool is None:
                pool = self._every[is_near] = self._new_pool(wanted, is_near=is_near)
            return pool
        pool = self._pools.pop((wanted, is_near), None)
        if pool is None:
            pool = self._new_pool(wanted, is_near=is_near)
            if len(self._pools) >= _POOLS_MAX:
                del self._pools[next(iter(self._pools))]
        self._pools[wanted, is_near] = pool
        return pool

    def _new_pool(self, wanted: Selection, *, is_near: bool) -> Pool:
        base, own_zone = self._base, self._own_zone

        def accepts(instance: Instance) -> bool:
            is_in_place = not is_near or instance.zone == own_zone
            return is_in_place and base.matches(instance) and wanted.matches(instance)

        pool = Pool(accepts, new_chooser(self._balancing.policy, self._rng))
        for instance in self.table.in_order():
            pool.add(instance)
        return pool

    def _all_pools(self) -> list[Pool]:
        # A copy, as a signal handler may make a pool meanwhile.
        return [*self._every.values(), *self._pools.values()]

    def _note_whether_up(self, instance: Instance) -> None:
        if instance.endpoint.weight and self._base.matches(instance):
            self._up.add(instance)
        else:
            self._up.discard(instance)
            self._ejections.forget(instance)

    def _apply(self, moved: Moved) -> None:
        for instance in moved.returned:
            self._place_again(instance)
        if moved.ejected is not None:
            self._place_again(moved.ejected)

    def _place_again(self, instance: Instance) -> None:
        """Put an instance where it belongs now."""
        for pool in self._all_pools():
            pool.remove(instance)
            pool.add(instance)

    def _tell_load(self, instance: Instance) -> None:
        for pool in self._all_pools():
            pool.on_load_changed(instance)
