"""Pick an instance of a service for each call, on any thread, without a wait."""

import math
import random
import threading
import time
import weakref
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Final

from zreg.client.balancing.balancer import Balancer
from zreg.client.balancing.choosers.key_slots import Key
from zreg.client.balancing.instance import Instance
from zreg.client.balancing.policy import Balancing, Policy
from zreg.client.balancing.selection import (
    Selection,
    Where,
    check_where,
    checked_selection,
)
from zreg.client.balancing.shortage import what_is_in_the_way
from zreg.client.handles.call_lease import Began, Failures, Lease, Outcome
from zreg.client.handles.subscription_handle import SubscriptionHandle
from zreg.client.view.endpoint import Endpoint
from zreg.client.view.view import View
from zreg.errors import NoInstanceError, UsageError
from zreg.forks_and_signals import call_in_children

if TYPE_CHECKING:
    from random import Random

_DEFAULT: Final = Balancing()
_SUCCESSES: Final = (Outcome.SUCCEEDED, Outcome.ANSWERED)
_PICKERS: "Final[weakref.WeakSet[InstancePicker]]" = weakref.WeakSet()


class InstancePicker:
    """The instances of a service, and all that does not wait. Any thread may call it."""

    def __init__(
        self,
        subscription: SubscriptionHandle,
        balancing: Balancing = _DEFAULT,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: "Random | None" = None,
    ) -> None:
        self._subscription = subscription
        self._balancing = balancing
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 -- it spreads calls, and keeps no secret
        self.begin_afresh()
        _PICKERS.add(self)

    def begin_afresh(self) -> None:
        """Know nothing, with a new lock.

        In a forked child a thread of the parent, which is not there, may have held the old one in
        the middle of a change; and the calls under way are the parent's.
        """
        # A signal handler or finalizer may call a method in the middle of another one.
        self._lock = threading.RLock()
        self._view: View | None = None
        self._is_updating = False
        self._balancer = Balancer(
            self._balancing, own_zone=self._subscription.own_zone, rng=self._rng
        )

    @property
    def view(self) -> View:
        """The view that the endpoints come from."""
        return self._subscription.view

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of all instances, also of those that are set aside or have weight 0."""
        with self._lock:
            self._update()
            base, table = self._balancer.base, self._balancer.table
            return tuple(each.endpoint for each in table.in_order() if base.matches(each))

    @property
    def skipped_count(self) -> int:
        """How many values are not endpoints, so that they are never picked."""
        with self._lock:
            return self._update().skipped_count + self._balancer.table.skipped_count

    def pick(
        self,
        key: Key | None = None,
        *,
        version: str | None = None,
        tags: Collection[str] = (),
        zone: str | None = None,
        where: Where | None = None,
    ) -> Endpoint:
        """Return the endpoint for one call, by the policy; raise `NoInstanceError` without one.

        With a `key` it is the endpoint that owns the key. Only instances count that have this
        version, all of these tags, whose publisher is in this zone, and for which `where` is true.
        """
        return self._pick(checked_selection(version, tags, zone), key, where).endpoint

    def lease(
        self,
        key: Key | None = None,
        *,
        version: str | None = None,
        tags: Collection[str] = (),
        zone: str | None = None,
        where: Where | None = None,
        failures: Failures = Exception,
    ) -> Lease:
        """Return a block for one call: `with service.lease() as endpoint:`.

        It picks like `pick`, and counts the call as under way until the block is left. It then
        learns how long the call took, and that it failed if one of these exceptions left the block.
        """
        begin = partial(self._begin, checked_selection(version, tags, zone), key, where)
        return Lease(begin, self._end, failures)

    def report(self, endpoint: Endpoint, *, ok: bool, seconds: float | None = None) -> None:
        """Report how a call went, and how long it took; `lease` does so by itself.

        An instance that failed is set aside for five seconds, and longer if it fails again soon.
        """
        if not isinstance(endpoint, Endpoint):
            raise UsageError(f"{endpoint!r:.80} is no endpoint: report what pick() returned")
        _check_seconds(seconds)
        with self._lock:
            self._update()
            instance = self._balancer.table.find(endpoint.address)
            if instance is None:
                return
            if ok:
                self._balancer.succeed(instance, self._clock(), seconds=seconds, began_at=None)
            else:
                self._balancer.fail(instance, self._clock(), seconds=seconds)

    def statistics(self) -> dict[str, int | float | str]:
        """Return counters and sizes, for people."""
        with self._lock:
            view = self._update()
            self._balancer.refresh(self._clock())
            return self._balancer.statistics() | {"unreadable": view.skipped_count}

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()

    def __repr__(self) -> str:
        """Show the name and the number of instances, and what ended it."""
        ended = self._subscription.why_ended()
        ended = f" ended: {ended}" if ended else ""
        name, count = self._subscription.data_info_id, len(self.endpoints)
        ejected = self.statistics()["ejected"]
        aside = f" ejected={ejected}" if ejected else ""
        return f"<{type(self).__name__} {name} instances={count}{aside}{ended}>"

    # --- for those that wait ------------------------------------------------------------------

    def _up_count(self) -> int:
        """Return how many instances get calls."""
        with self._lock:
            self._update()
            return self._balancer.up_count

    def _how_far(self, min_up: int) -> str:
        """Return a sentence that says how many instances are there, and what is in the way."""
        with self._lock:
            view = self._update()
            reasons = what_is_in_the_way(self._balancer, unreadable_count=view.skipped_count)
            count = self._balancer.up_count
        return "; ".join([f"{count} of {min_up} instances are there", *reasons])

    # --- one call -----------------------------------------------------------------------------

    def _pick(
        self, wanted: Selection, key: Key | None, where: Where | None, *, is_call: bool = False
    ) -> Instance:
        """Pick an instance; with `is_call` count a call to it, which has to be ended."""
        if key is None:
            if self._balancing.policy is Policy.CONSISTENT_HASH:
                raise UsageError("Policy.CONSISTENT_HASH picks by a key: give pick(key=...)")
        elif not isinstance(key, str | bytes | int):
            raise UsageError(f"key {key!r:.80} cannot be used: give text, bytes or a whole number")
        if where is not None or self._balancing.where is not None:
            return self._pick_where(wanted, key, where, is_call=is_call)
        with self._lock:
            self._update()
            instance = self._balancer.choose(self._clock(), wanted, key)
            if instance is not None:
                if is_call:
                    self._balancer.begin(instance)
                return instance
        raise NoInstanceError(self._why_none(wanted))

    def _pick_where(
        self, wanted: Selection, key: Key | None, where: Where | None, *, is_call: bool
    ) -> Instance:
        """Pick with functions of the program, which run without the lock."""
        check_where(where)
        base_where = self._balancing.where
        with self._lock:
            self._update()
            groups = self._balancer.candidates(self._clock(), wanted)
        for pool, group in groups:
            accepted = group
            for function in (base_where, where):
                if function is not None:
                    accepted = [each for each in accepted if function(each.endpoint)]
            with self._lock:
                instance = pool.choose_among(accepted, self._clock(), key)
                if instance is not None:
                    if is_call:
                        self._balancer.begin(instance)
                    return instance
        considered = sum(len(group) for _, group in groups[-2:])
        where_found = f"where accepts none of {considered}" if considered else ""
        raise NoInstanceError(self._why_none(wanted, where_found))

    def _begin(self, wanted: Selection, key: Key | None, where: Where | None) -> Began:
        """Pick an instance and count a call to it; return when the call began as well."""
        instance = self._pick(wanted, key, where, is_call=True)
        return Began(self._balancer, instance, self._clock())

    def _end(self, began: Began, outcome: Outcome) -> None:
        """Note how a call went, and that it is over unless its answer has only begun."""
        balancer, instance, began_at = began
        with self._lock:
            if balancer is not self._balancer:
                # A forked child leaves the block of a call that is its parent's.
                return
            now = self._clock()
            if outcome is not Outcome.ANSWERED:
                balancer.end(instance)
            if outcome in _SUCCESSES:
                balancer.succeed(instance, now, seconds=now - began_at, began_at=began_at)
            elif outcome is Outcome.FAILED:
                balancer.fail(instance, now, seconds=now - began_at)

    def _update(self) -> View:
        """Take the instances from a new view, and return it. Needs the lock.

        It reads the view with the lock: another thread may have taken in a newer one meanwhile. A
        signal handler in the middle of an update uses the instances that are there by then.
        """
        view = self._subscription.view
        if view is not self._view and not self._is_updating:
            self._is_updating = True
            try:
                self._balancer.renew(view, self._clock())
            finally:
                self._is_updating = False
            self._view = view
        return view

    def _why_none(self, wanted: Selection, where_found: str = "") -> str:
        with self._lock:
            view = self._update()
            count = len(self._balancer.table)
            reasons = what_is_in_the_way(
                self._balancer, unreadable_count=view.skipped_count, wanted=wanted
            )
        reasons += [where_found] if where_found else []
        sentence = f"no instance of {self._subscription.data_info_id} can be picked: "
        if count:
            reasons = reasons or ["one has come back meanwhile: pick again"]
            return f"{sentence}{count} published; {'; '.join(reasons)}"
        advice = (
            "call wait_up() first, and check that a producer runs and publishes this id as an "
            "Endpoint or as host:port"
        )
        return sentence + "; ".join([self._subscription.why_waiting(), *reasons, advice])


def _check_seconds(seconds: object) -> None:
    if seconds is None:
        return
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= float(seconds) < math.inf:  # type: ignore[arg-type]
        raise UsageError(f"seconds {seconds!r:.80} cannot be used: give how long the call took")


def _on_forked() -> None:
    for picker in tuple(_PICKERS):
        picker.begin_afresh()


call_in_children(_on_forked)
