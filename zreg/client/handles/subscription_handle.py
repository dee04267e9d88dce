"""What is the same of a subscription on threads and on an event loop: all that does not wait."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from zreg.client.arguments import seconds_to_wait
from zreg.client.core.commands import AddSubscription
from zreg.client.runtime.subscription_state import Callback, SubscriptionState
from zreg.client.view.outside_scope import what_is_outside
from zreg.client.view.view import View
from zreg.errors import ClosedError, TimeoutError, UsageError, refusal  # noqa: A004 -- zreg's own
from zreg.model import DataInfoId, Scope

if TYPE_CHECKING:
    from zreg.client.runtime.runtime import Runtime

C = TypeVar("C", bound=Callback)
# Before a wait runs out, the client looks for so long at what is outside of the scope, so that the
# error can tell: this share of the wait, and not for longer.
_LOOK_SHARE: Final = 0.25
_LOOK_SECONDS_MAX: Final = 1.0


class SubscriptionHandle(ABC):
    """A followed datum; it keeps its client as long as the program keeps it."""

    def __init__(self, runtime: "Runtime", data_info_id: DataInfoId, scope: Scope) -> None:
        self.data_info_id = data_info_id
        self.scope = scope
        self.feed_id = runtime.new_feed_id()
        self._runtime = runtime
        # The runtime refers to the state only, so that it does not keep itself.
        self._state = SubscriptionState(runtime.changed, data_info_id, scope)
        self._is_kept = False
        self._kept_view: View | None = None

    def load_kept_view(self) -> None:
        """Begin with the last known view, if the client caches views. May read a file."""
        if (cache := self._runtime.cache) is not None:
            self._is_kept, self._kept_view = True, cache.load(self._state.followed)

    def begin(self) -> None:
        """Subscribe. Needs the runtime's lock."""
        command = AddSubscription(self.feed_id, self.data_info_id, self.scope)
        self._runtime.subscribe(command, self._state)
        view, self._kept_view = self._kept_view, None
        if self._is_kept and (cache := self._runtime.cache) is not None:
            self._state.begin_kept(cache, view)

    def begin_if_there_is_room(self) -> None:
        """Subscribe, unless the client has as many subscriptions as it may. Needs the lock."""
        with contextlib.suppress(UsageError):
            self.begin()

    @property
    def view(self) -> View:
        """What is known now; empty and not `is_known` until the first answer."""
        self._runtime.lifecycle.enter_process()
        return self._state.view

    @property
    def own_zone(self) -> str:
        """The zone of the client; empty if it has none, and its session gives it one."""
        return self._runtime.settings.config.zone

    @abstractmethod
    def __call__(self, callback: C) -> C:
        """Call the function with the view once it is known, then with each change."""

    def close(self) -> None:
        """End the subscription: no callback begins after this; a second call does nothing."""
        self._runtime.lifecycle.enter_process()
        self._runtime.lifecycle.check_thread()
        with self._runtime.changed:
            if not self._state.is_closed:
                self._state.end()
                self._runtime.unsubscribe(self.feed_id)

    unsubscribe = close

    def __repr__(self) -> str:
        """Show the name and the view."""
        ended = f" ended: {end}" if (end := self.why_ended()) else ""
        return f"<Subscription {self.data_info_id} {self.scope.name} {self._state.view!r}{ended}>"

    def why_ended(self) -> str:
        """Return a sentence that says what ended it; empty if it goes on."""
        closed = "this subscription was closed" if self._state.is_closed else ""
        return self._runtime.lifecycle.why_closed() or closed

    def why_waiting(self) -> str:
        """Return a sentence that says why the view does not have more publishers."""
        refused = self._state.refusal
        if refused is not None:
            name = type(refusal(refused.code, "")).__name__
            return f"refused with {name}: {refused.detail}"
        connection = self._runtime.why_waiting()
        return (
            connection if self._state.view.is_known else f"the view is not known yet: {connection}"
        )

    def _is_met(self, condition: Callable[[], bool]) -> bool:
        """Return whether a wait for the condition is over; raise what ended the subscription."""
        refused = self._state.refusal
        if refused is not None and refused.is_final:
            raise refusal(refused.code, refused.detail)
        is_true = condition()
        if not is_true and self._state.is_closed:
            raise ClosedError("this subscription was closed: subscribe again")
        return is_true

    def _look_seconds(self, timeout_seconds: float) -> float:
        """Return how long the last part of a wait is, which also looks outside of the scope."""
        seconds = seconds_to_wait(timeout_seconds)
        if seconds is None or self.scope is Scope.GLOBAL:
            return 0.0
        return min(_LOOK_SECONDS_MAX, seconds * _LOOK_SHARE)

    def _timed_out(self, everywhere: View, why: str, timeout_seconds: float) -> TimeoutError:
        """Return the error of a wait; it says what is published outside of the scope."""
        config = self._runtime.settings.config
        outside = what_is_outside(
            self._state.view,
            everywhere,
            scope=self.scope,
            zone=config.zone,
            data_center=config.data_center,
        )
        sentences = f"{why}; {outside}" if outside else why
        return TimeoutError(f"{sentences} (waited {float(timeout_seconds):g} s)")

    def _has(self, min_count: int) -> bool:
        view = self._state.view
        return view.is_known and len(view) >= min_count

    def _how_many(self, min_count: int) -> str:
        if not min_count:
            return "no answer has come"
        return f"{len(self._state.view)} of {min_count} publishers are there"
