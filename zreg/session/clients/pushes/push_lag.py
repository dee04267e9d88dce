"""How long pushes are on their way: from the session until the client has confirmed them."""

from collections import deque
from typing import Final

_SAMPLES_MAX: Final = 256


class PushLag:
    """The lags of the last pushes that were timed, in seconds.

    Clients gather acknowledgements, so most of them say nothing of the way: they waited up to half
    a ping interval. `Pusher` times a push only if the client answers it at once: a snapshot, the
    last push that the client may gather, and each push if it does not gather any.
    """

    def __init__(self) -> None:
        self.seconds: deque[float] = deque(maxlen=_SAMPLES_MAX)

    def statistics(self) -> dict[str, float]:
        """Return the median and the 99th percentile; nothing before the first push."""
        if not self.seconds:
            return {}
        ordered = sorted(self.seconds)
        return {
            "push_lag_p50_seconds": round(_percentile(ordered, 0.5), 6),
            "push_lag_p99_seconds": round(_percentile(ordered, 0.99), 6),
        }


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
