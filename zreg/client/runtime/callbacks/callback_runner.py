"""The protocol of what runs the callbacks of a subscription."""

from collections.abc import Callable
from typing import Protocol


class CallbackRunner(Protocol):
    """Runs callbacks one at a time, in the order of their changes.

    A job calls a callback with what is new to it, and returns what the callback returns.
    """

    def submit(self, job: Callable[[], object]) -> None:
        """Run the job after those before it."""
        ...

    def retry(self) -> None:
        """Have jobs run that wait although no event comes that would run them."""
        ...
