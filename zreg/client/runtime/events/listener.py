"""The protocols through which the runtime tells publications and subscriptions the events.

The runtime calls these methods on the loop's thread, under its lock. They must not block.
"""

from typing import Protocol

from zreg.client.core.commands import PublicationRefused, SubscriptionRefused, ViewChanged
from zreg.model import DataInfoId, Scope


class PublicationListener(Protocol):
    """One publication of the application."""

    @property
    def needs_host(self) -> bool:
        """Whether an endpoint has no host, so that zreg has to fill in this machine's."""
        ...

    def begin_in_child(self) -> bytes | None:
        """Publish again in a forked child and return the new id; None if the parent keeps it."""
        ...

    def on_host_found(self, host: str) -> None:
        """Learn under which host other machines reach this one; it may differ from the last one."""
        ...

    def on_registered(self, copies: int) -> None:
        """Learn that the registry holds what the core was given last, in so many copies."""
        ...

    def on_refused(self, event: PublicationRefused) -> None:
        """Learn that the registry refused the publication."""
        ...


class SubscriptionListener(Protocol):
    """One subscription of the application."""

    @property
    def followed(self) -> tuple[DataInfoId, Scope]:
        """What is followed, and how far it looks."""
        ...

    def begin_in_child(self) -> None:
        """Go on in a forked child with the view of the parent, until the child has its own."""
        ...

    def on_view_changed(self, event: ViewChanged) -> None:
        """Learn what became of the view."""
        ...

    def on_refused(self, event: SubscriptionRefused) -> None:
        """Learn that the session refused the subscription."""
        ...

    def on_session_lost(self, now: float) -> None:
        """Learn that no session confirms the view now."""
        ...
