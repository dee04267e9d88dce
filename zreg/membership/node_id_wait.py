"""How long a node waits for its node id while another process has it."""

from zreg.config import Config


class NodeIdWait:
    """Since when meta has answered, over the present connection, that the node id is in use.

    Meta notices a dead predecessor within one lease. After that another process lives with the id.
    """

    def __init__(self, config: Config) -> None:
        self._seconds_max = config.lease_seconds + 1.0
        self._since: float | None = None

    def on_in_use(self, now: float) -> None:
        """Note that meta has answered that the id is in use."""
        if self._since is None:
            self._since = now

    def is_over(self, now: float) -> bool:
        """Return whether the id has been in use for longer than a dead process could have it."""
        return self._since is not None and now - self._since > self._seconds_max

    def end(self) -> None:
        """Note that the id is free, or that another meta node is asked now."""
        self._since = None
