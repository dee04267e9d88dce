"""The faults of one simulated run, and a network that has them.

Each seed draws its own rates, most of them zero: faults that are always present hide each other.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec

from zreg.wire.records.raft_messages import AppendEntries, RaftMessage

_REMEMBERED_MAX: Final = 200


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """The chances of faults, per message, per step of a node, or per disturbance; times in ms."""

    drop: float = 0.0
    drop_entries: float = 0.0
    duplicate: float = 0.0
    replay: float = 0.0
    delay_ms_max: int = 5
    unreachable: float = 0.0
    crash_in_step: float = 0.0
    crash: float = 0.0
    crash_leader: float = 0.0
    power_loss: float = 0.0
    disk_full: float = 0.0
    pause: float = 0.0
    partition: float = 0.0
    membership: float = 0.0
    transfer: float = 0.0

    @classmethod
    def draw(cls, rng: Random) -> "Faults":
        """Return the faults of a run, drawn from `rng`."""

        def sometimes(*rates: float) -> float:
            return rng.choice((0.0, *rates))

        return cls(
            drop=sometimes(0.02, 0.1, 0.3),
            drop_entries=sometimes(0.0, 0.5, 0.9),
            duplicate=sometimes(0.05, 0.3),
            replay=sometimes(0.01, 0.1),
            delay_ms_max=rng.choice((2, 20, 100, 400)),
            unreachable=sometimes(0.02),
            crash_in_step=sometimes(0.001, 0.005),
            crash=sometimes(0.02, 0.1),
            crash_leader=sometimes(0.0, 0.1),
            power_loss=sometimes(0.01),
            disk_full=sometimes(0.01),
            pause=sometimes(0.05),
            partition=sometimes(0.05, 0.2),
            membership=sometimes(0.1, 0.5),
            transfer=sometimes(0.03),
        )


class FaultyNetwork:
    """Loses, delays, duplicates, reorders and replays messages, which it carries as plain values.

    It calls `deliver_at(ms, message)` for each copy that will arrive.
    """

    def __init__(
        self, rng: Random, faults: Faults, deliver_at: Callable[[int, RaftMessage], None]
    ) -> None:
        self.faults = faults
        self._rng = rng
        self._deliver_at = deliver_at
        self._blocked: dict[tuple[str, str], bool] = {}
        self._remembered: list[object] = []

    def send(self, now: int, message: RaftMessage) -> bool:
        """Send a message; return False if the sender notices that it cannot be sent."""
        rng, faults = self._rng, self.faults
        if rng.random() < faults.unreachable:
            return False
        if self.is_blocked(message.sender, message.receiver) or rng.random() < faults.drop:
            return True
        has_entries = isinstance(message, AppendEntries) and len(message.entries) > 0
        if has_entries and rng.random() < faults.drop_entries:
            # Heartbeats still arrive, so such a leader stays leader and hardly commits anything.
            return True
        raw = msgspec.to_builtins(message, builtin_types=(bytes,))
        self._carry(now, raw)
        if rng.random() < faults.duplicate:
            self._carry(now, raw)
        if faults.replay:
            self._replay(now, raw)
        return True

    def _carry(self, now: int, raw: object) -> None:
        delay = self._rng.randint(1, self.faults.delay_ms_max)
        self._deliver_at(now + delay, msgspec.convert(raw, RaftMessage))

    def _replay(self, now: int, raw: object) -> None:
        if len(self._remembered) < _REMEMBERED_MAX:
            self._remembered.append(raw)
        else:
            self._remembered[self._rng.randrange(_REMEMBERED_MAX)] = raw
        if self._rng.random() < self.faults.replay:
            self._carry(now, self._rng.choice(self._remembered))

    def is_blocked(self, sender: str, receiver: str) -> bool:
        """Return whether a partition stops messages from `sender` to `receiver`."""
        return self._blocked.get((sender, receiver), False)

    def heal(self) -> None:
        """End all partitions."""
        self._blocked.clear()

    def partition(self, node_ids: Sequence[str], leader: str | None) -> str:
        """Cut some links, in one direction or in both; return what was cut, for the trace."""
        kind = self._rng.choice(("split", "one-way", "pair", "leader", "none"))
        self.heal()
        left = self._one_side(kind, node_ids, leader)
        right = [node_id for node_id in node_ids if node_id not in left]
        if kind == "pair":
            left, right = left[:1], left[1:]
        if kind != "none":
            for sender in left:
                for receiver in right:
                    self._blocked[sender, receiver] = True
                    if kind != "one-way":
                        self._blocked[receiver, sender] = True
        return f"{kind} {' '.join(left)}"

    def _one_side(self, kind: str, node_ids: Sequence[str], leader: str | None) -> list[str]:
        if kind == "pair":
            return self._rng.sample(node_ids, 2)
        if kind == "leader" and leader is not None:
            return [leader]
        return sorted(self._rng.sample(node_ids, self._rng.randint(1, len(node_ids) - 1)))
