"""Asks some clients to move while this session has many more of them than others have.

After sessions were restarted one after the other, most clients are at the sessions that were up all
the time. No new connection corrects that, so the sessions even out slowly.
"""

from typing import Final

from zreg.config import Config
from zreg.effects import Effect, Link, Send
from zreg.membership.cluster_member import ClusterMember
from zreg.model import Address, Role
from zreg.primitives.timing.deadlines import Deadlines
from zreg.session.clients.client_table import Client, ClientTable
from zreg.wire.records.client_messages import Move
from zreg.wire.records.membership_messages import SessionLoads

# A session with more clients than this share of the mean has too many, one with less than its
# inverse has too few. Between these nothing moves, so the counts of an even cluster may vary.
_EXCESS_SHARE: Final = 1.2
# Too many are also at least so many above the mean: 3 clients beside 2 are as even as can be.
_DIFFERENCE_MIN: Final = 2
_PERIOD_SECONDS: Final = 1.0
# So long a client stays undisturbed. One that has just come may only pass by, or come from another
# session that fails.
_AGE_SECONDS_MIN: Final = 30.0
# A client that has not moved so long after it was asked stays.
_ASKED_SECONDS: Final = 15.0
# So many sessions fill another one once a second without filling it too much.
_SENDERS: Final = 8
# How many clients are looked at for each one to ask, and besides.
_LOOKS_EACH: Final = 4
_LOOKS_MIN: Final = 32


class Rebalancing:
    """The clients that were asked to move, and how many more to ask in each second.

    Invariants: no count falls below the mean by what is asked here. In one second at most
    `move_percent_max` of the clients are asked, but at least one, and at most a few more than these
    are looked at.
    """

    def __init__(self, config: Config, cluster_member: ClusterMember, table: ClientTable) -> None:
        self._percent = config.move_percent_max
        self._cluster_member = cluster_member
        self._table = table
        self._due_at = 0.0
        # By client id: until when it may be on its way.
        self._asked: Deadlines[bytes] = Deadlines()
        self.asked_count = 0
        self.moved_count = 0

    def on_moved(self, client: Client) -> None:
        """Note that a client has moved to another session."""
        self._asked.drop(client.client_id)
        self.moved_count += 1

    def tick(self, now: float) -> list[Effect]:
        """Ask some clients to move, if this session has too many and knows where to."""
        if now < self._due_at:
            return []
        self._due_at = now + _PERIOD_SECONDS
        self._asked.take_due(now)
        loads = self._cluster_member.counts.loads
        if loads is None or not self._percent:
            return []
        # Those on their way still count here, and do not count there yet.
        count = self._table.connected_count - len(self._asked)
        self._due_at = now + pause_seconds(count, loads)
        wanted = moves_wanted(count, loads, self._percent)
        return self._ask(wanted, self._addresses(loads), now) if wanted else []

    def _addresses(self, loads: SessionLoads) -> list[Address]:
        """Return where clients may go: to the WORKING sessions that have the fewest."""
        membership, mine = self._cluster_member.membership, self._cluster_member.incarnation
        found = {member.incarnation: member.address for member in membership.of(Role.SESSION)}
        sessions = [load.session for load in loads.lighter if load.session in found]
        # Sessions with too many begin at different ones of these.
        first = mine.epoch % len(sessions) if mine and sessions else 0
        return [found[each] for each in sessions[first:] + sessions[:first] if each != mine]

    def _ask(self, wanted: int, addresses: list[Address], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(min(_LOOKS_EACH * wanted + _LOOKS_MIN, self._table.connected_count)):
            if not addresses or len(effects) == wanted:
                break
            client = self._table.rotate()
            peer = client.peer
            if peer is not None and self._may_be_asked(client, now):
                address = addresses[self.asked_count % len(addresses)]
                self.asked_count += 1
                self._asked.set(client.client_id, now + _ASKED_SECONDS)
                effects.append(Send(Link.CLIENTS, peer, Move(address)))
        return effects

    def _may_be_asked(self, client: Client, now: float) -> bool:
        is_undisturbed = client.client_id not in self._asked
        return client.may_be_asked and is_undisturbed and now - client.since >= _AGE_SECONDS_MIN


def moves_wanted(count: int, loads: SessionLoads, percent: int) -> int:
    """Return how many of its clients a session asks to move in the next second.

    None move if the counts of all sessions are near the mean.
    """
    if not loads.lighter:
        return 0
    mean = loads.client_count / loads.session_count
    fewest = loads.lighter[0].client_count
    has_too_few = fewest * _EXCESS_SHARE < mean and fewest <= mean - _DIFFERENCE_MIN
    if not (has_too_few or has_too_many(count, mean)):
        return 0
    return min(max(count * percent // 100, 1), max(int(count - mean), 0))


def pause_seconds(count: int, loads: SessionLoads) -> float:
    """Return when a session with so many clients asks again.

    If only another session has too few, all the others send clients there, and hear a moment later
    how many have come. So the more sessions there are, the less often each of them asks.
    """
    if has_too_many(count, loads.client_count / loads.session_count):
        return _PERIOD_SECONDS
    return _PERIOD_SECONDS * max(1.0, loads.session_count / _SENDERS)


def has_too_many(count: int, mean: float) -> bool:
    """Return whether a session has many more clients than the mean."""
    return count > _EXCESS_SHARE * mean and count >= mean + _DIFFERENCE_MIN
