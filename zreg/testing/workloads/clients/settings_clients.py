"""Clients that set, compare-and-set, remove and read a few settings, and their common history.

Each asks a meta node of its choice and follows redirects. Some wait long enough to get the answer
of a frozen node. A change without an answer is recorded with an unknown outcome.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

from zreg.effects import Connect, Disconnect, Effect, Link, Local, Peer, PeerLost, PeerUp, Send
from zreg.errors import NotLeaderError, NotReadyError, VersionMismatchError
from zreg.testing.checkers.linearizability import (
    NEVER,
    Kind,
    Outcome,
    VersionedOperation,
    find_versioned_anomaly,
)
from zreg.wire.messages import Message
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.settings_messages import FetchSettings, SetSetting, SettingsReply

_NAMES: Final = ("register-0", "register-1")
_KINDS: Final = (Kind.READ, Kind.READ, Kind.READ, Kind.SET, Kind.SET, Kind.SET, Kind.REMOVE)
_CONDITIONAL_SHARE: Final = 0.5
_PAUSE_SECONDS: Final = (0.1, 1.3)
_RETRY_SECONDS: Final = 0.2
_REDIRECTS_MAX: Final = 3
# The shortest ends before most answers arrive, the longest outlasts the freeze of a node.
_PATIENCE_SECONDS: Final = (0.003, 0.5, 0.5, 0.5, 6.0)


class SettingsHistory:
    """The operations of all clients and their answers, in one order of events."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        # Whether clients start no more operations.
        self.is_over = False
        self._event_count = 0
        self._value = 0
        self._operations: dict[str, list[VersionedOperation]] = {name: [] for name in _NAMES}

    def next_event(self) -> int:
        """Return the number of the event that happens now."""
        self._event_count += 1
        return self._event_count

    def new_value(self) -> int:
        """Return a value that no client has set before."""
        self._value += 1
        return self._value

    def add(self, name: str, operation: VersionedOperation) -> None:
        """Record an operation with its outcome."""
        self._operations[name].append(operation)
        self.counts[f"{operation.kind.value} {operation.outcome.value}"] += 1

    def anomaly(self) -> str | None:
        """Return why the history is not linearizable, None if it is."""
        for name, operations in self._operations.items():
            if (anomaly := find_versioned_anomaly(operations)) is not None:
                return f"{name}: {anomaly}"
        return None


class SettingsClient:
    """A client with one operation at a time, and with its own source of randomness."""

    epoch = 0

    def __init__(self, addresses: Sequence[str], history: SettingsHistory, rng: Random) -> None:
        self._addresses = addresses
        self._history = history
        self._rng = rng
        self._address = ""
        self._is_up = False
        self._request_id = 0
        # The operation under way, None if there is none, and the event at which it began.
        self._operation: FetchSettings | SetSetting | None = None
        self._name = ""
        self._start = 0
        self._is_sent = False
        self._redirect_count = 0
        self._next_at = 0.0
        self._give_up_at = 0.0
        # The latest version of each setting that this client was told.
        self._versions = dict.fromkeys(_NAMES, 0)

    def start(self, now: float) -> Sequence[Effect]:
        """Begin the first operation after a pause."""
        self._next_at = now + self._rng.uniform(*_PAUSE_SECONDS)
        return ()

    def receive(
        self, link: Link, peer: Peer, message: Message | Local, now: float
    ) -> Sequence[Effect]:
        """Take an answer, or a change of the connection."""
        del link
        match message:
            case PeerUp() if message.peer == self._address:
                self._is_up = True
                return self._send()
            case PeerLost() if message.peer == self._address:
                return self._on_lost(now)
            case SettingsReply(request_id=self._request_id) if peer == self._address:
                self._on_reply(message, now)
            case Refused(request_id=self._request_id) if peer == self._address:
                return self._on_refused(message, now)
            case _:
                pass
        return ()

    def tick(self, now: float) -> Sequence[Effect]:
        """Begin the next operation, ask another node, or give up."""
        if self._operation is None:
            return () if self._history.is_over or now < self._next_at else self._begin(now)
        if now >= self._give_up_at:
            self._finish(Outcome.UNKNOWN, 0, 0, now)
            return self._leave()
        if not self._is_sent and now >= self._next_at:
            return self._ask_at(self._rng.choice(self._addresses), now)
        return ()

    def settle(self, now: float) -> Sequence[Effect]:
        """Return no effects: nothing is left to the end of a turn."""
        del now
        return ()

    def next_tick_at(self) -> float | None:
        """When to begin, to ask another node or to give up; None once the history is over."""
        if self._operation is None:
            return None if self._history.is_over else self._next_at
        return self._give_up_at if self._is_sent else min(self._next_at, self._give_up_at)

    def statistics(self) -> dict[str, int | float | str]:
        """Return how many operations were begun."""
        return {"asked": self._request_id}

    # --- asking -------------------------------------------------------------------------------

    def _begin(self, now: float) -> list[Effect]:
        rng = self._rng
        self._request_id += 1
        self._name = name = rng.choice(_NAMES)
        kind = rng.choice(_KINDS)
        if kind is Kind.READ:
            self._operation = FetchSettings(self._request_id, name)
        else:
            value = str(self._history.new_value()) if kind is Kind.SET else None
            is_conditional = rng.random() < _CONDITIONAL_SHARE
            if_version = self._versions[name] if is_conditional else None
            self._operation = SetSetting(self._request_id, name, value, if_version)
        self._start = self._history.next_event()
        self._redirect_count = 0
        self._give_up_at = now + rng.choice(_PATIENCE_SECONDS)
        return self._ask_at(rng.choice(self._addresses), now)

    def _ask_at(self, address: str, now: float) -> list[Effect]:
        """Ask at `address`, over the present connection or a new one."""
        self._next_at = now + _RETRY_SECONDS
        if self._is_up and address == self._address:
            return self._send()
        leave = self._leave()
        self._address = address
        return [*leave, Connect(Link.META, address, address)]

    def _leave(self) -> list[Effect]:
        former, self._address, self._is_up = self._address, "", False
        return [Disconnect(Link.META, former)] if former else []

    def _send(self) -> list[Effect]:
        if self._operation is None or self._is_sent:
            return []
        self._is_sent = True
        return [Send(Link.META, self._address, self._operation)]

    # --- answers ------------------------------------------------------------------------------

    def _on_lost(self, now: float) -> list[Effect]:
        self._is_up = False
        if self._operation is not None and self._is_sent:
            self._finish(Outcome.UNKNOWN, 0, 0, now)
        return []

    def _on_reply(self, reply: SettingsReply, now: float) -> None:
        request = self._operation
        found = reply.settings[0] if reply.settings else None
        version, value = (0, 0) if found is None else (found.version, int(found.value))
        if isinstance(request, SetSetting):
            told = None if found is None else found.value
            assert told == request.value, f"{request} was answered {reply}"
        self._versions[self._name] = version
        self._finish(Outcome.DONE, value, version, now)

    def _on_refused(self, refused: Refused, now: float) -> list[Effect]:
        match refused.code:
            case NotLeaderError.code:
                # The node did nothing: ask the leader, or the same node again.
                self._is_sent = False
                self._next_at = now + _RETRY_SECONDS
                self._redirect_count += 1
                if refused.address and self._redirect_count <= _REDIRECTS_MAX:
                    return self._ask_at(refused.address, now)
            case VersionMismatchError.code:
                self._versions[self._name] = 0
                self._finish(Outcome.REFUSED, 0, 0, now)
            case NotReadyError.code:
                self._finish(Outcome.UNKNOWN, 0, 0, now)
            case _:
                raise AssertionError(refused)
        return []

    def _finish(self, outcome: Outcome, value: int, version: int, now: float) -> None:
        """Record the operation; one that was never sent did not happen."""
        request, self._operation = self._operation, None
        self._next_at = now + self._rng.uniform(*_PAUSE_SECONDS)
        is_sent, self._is_sent = self._is_sent, False
        if not is_sent:
            return
        kind, if_version = Kind.READ, None
        if isinstance(request, SetSetting):
            kind = Kind.REMOVE if request.value is None else Kind.SET
            if_version, value = request.if_version, int(request.value or 0)
        end = NEVER if outcome is Outcome.UNKNOWN else self._history.next_event()
        operation = VersionedOperation(kind, outcome, value, version, if_version, self._start, end)
        self._history.add(self._name, operation)
