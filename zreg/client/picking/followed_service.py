"""What a picker needs of the subscription that it follows, in threads and in coroutines."""

from typing import Protocol, TypeVar

from zreg.client.view.view import View
from zreg.model import DataInfoId


class Followed(Protocol):
    """What a picker needs of a subscription."""

    data_info_id: DataInfoId

    @property
    def view(self) -> View:
        """What is published now; raises `ClosedError` in a forked child."""
        ...

    @property
    def own_zone(self) -> str:
        """The zone of the client."""
        ...

    def why_ended(self) -> str:
        """Return what ended it; empty if it goes on."""
        ...

    def why_waiting(self) -> str:
        """Return why the view does not have more publishers."""
        ...

    def close(self) -> None:
        """End it."""
        ...


F = TypeVar("F", bound=Followed)
