"""Call the core and carry out the effects that it returns; an exception costs that call only."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from zreg.effects import Core, Effect, Link, Local
from zreg.reactor.log_lines import LOG_AT_ONCE, LogLines, write_failure
from zreg.reactor.outgoing.effect_runner import EffectRunner
from zreg.storage.failures import CoreFailedError, NodeEndError

# If a core cannot say when it is due next, it is asked again after this time.
_FAILED_TICK_SECONDS: Final = 1.0


class CoreCalls:
    """Calls to one core. An exception is a bug of the core: it costs that call only.

    A core that has a disk is the exception: other nodes rely on its state, so its node ends.
    `NodeEndError` passes through all methods.
    """

    def __init__(
        self,
        core: Core,
        runner: EffectRunner,
        counts: Counter[str],
        *,
        has_disk: bool,
        log_lines: LogLines = LOG_AT_ONCE,
    ) -> None:
        self.core = core
        self.log_lines = log_lines
        self._runner = runner
        self._counts = counts
        self._has_disk = has_disk

    def call(self, method: Callable[[float], Iterable[Effect]], now: float) -> None:
        """Call one method of the core."""
        try:
            self._runner.carry_out(method(now))
        except NodeEndError:
            raise
        except Exception:  # noqa: BLE001 -- a core may raise anything
            self.on_failure(f"core={self.core!r}")

    def tell(self, message: Local, now: float) -> None:
        """Hand one local message to the core."""
        self.call(partial(self.core.receive, Link.LOCAL, "", message), now)

    def next_tick_at(self, now: float) -> float | None:
        """Return when the core is due next; soon if it fails to say so."""
        try:
            return self.core.next_tick_at()
        except Exception:  # noqa: BLE001 -- a core may raise anything
            self.on_failure(f"core={self.core!r}")
            return now + _FAILED_TICK_SECONDS

    def on_failure(self, during: str) -> None:
        """Count and log the exception that is being handled; raise if the node has to end.

        Must be called from an `except` block.
        """
        self._counts["core_errors"] += 1
        write_failure(self.log_lines, f"reactor.core.failed {during}")
        if self._has_disk:
            raise CoreFailedError(
                "This node has met a bug in its own code and ends, because its state cannot be "
                "trusted any more: start it again, and report the traceback in its log."
            )
