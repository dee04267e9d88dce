"""A leadership transfer: to which voter the leader hands over, and until when (thesis §3.10)."""


class LeaderTransfer:
    """The transfer under way, at most one at a time; `target` is None while there is none.

    While a transfer is under way the leader proposes nothing, so that the target can catch up. An
    attempt ends at its deadline, and the leader goes on leading.
    """

    def __init__(self) -> None:
        self.target: str | None = None
        self._is_accepted = False
        self._ends_at = 0

    def start(self, target: str, *, ends_at: int) -> None:
        """Begin to hand over to `target`; give up at the tick `ends_at`."""
        self.target = target
        self._is_accepted = False
        self._ends_at = ends_at

    def on_reply(self, *, is_accepted: bool) -> None:
        """Take the target's answer; a refusal ends the transfer."""
        self._is_accepted = is_accepted
        if not is_accepted:
            self.target = None

    def tick(self, now: int) -> None:
        """End the transfer if its time is up."""
        if self.target is not None and now >= self._ends_at:
            self.target = None

    def is_due_for(self, node_id: str) -> bool:
        """Return whether `node_id` is the target and has not accepted yet."""
        return node_id == self.target and not self._is_accepted
