"""A thread that publishes all the time, to measure how long ids take no writes."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import zreg

_PAUSE_SECONDS: Final = 0.002
_ACCEPT_SECONDS_MAX: Final = 30.0


class WriteProber:
    """Publishes to some ids, round after round, until its `with` block ends.

    A round ends when the publish to each id is accepted. The next one begins at once, after a short
    pause.
    """

    def __init__(self, url: str, data_ids: Sequence[str]) -> None:
        self._client = zreg.Client(url)
        self._publications = [self._client.publish(data_id, "0") for data_id in data_ids]
        self._changed = threading.Condition()
        # When the last round that has ended began and ended.
        self._last = (0.0, 0.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def wait_round_since(self, at: float) -> float:
        """Return when the first round ended that began after this time, in monotonic seconds."""
        with self._changed:
            has_ended = self._changed.wait_for(lambda: self._last[0] > at, _ACCEPT_SECONDS_MAX)
            assert has_ended, f"no write was accepted for {_ACCEPT_SECONDS_MAX:g} s"
            return self._last[1]

    def __enter__(self) -> Self:
        """Begin to publish; leaving the block withdraws everything."""
        for publication in self._publications:
            publication.wait_registered(_ACCEPT_SECONDS_MAX)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the thread, and close the client."""
        self._stopping.set()
        self._client.close()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(_PAUSE_SECONDS):
            number += 1
            began_at = time.monotonic()
            try:
                for publication in self._publications:
                    publication.republish(str(number))
                for publication in self._publications:
                    publication.wait_registered(_ACCEPT_SECONDS_MAX)
            except (zreg.ClosedError, zreg.TimeoutError):
                # The block has ended, or `wait_round_since` reports that there is no end.
                return
            with self._changed:
                self._last = (began_at, time.monotonic())
                self._changed.notify_all()
