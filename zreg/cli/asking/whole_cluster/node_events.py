"""The events of all nodes of a cluster: asked node by node, and followed from answer to answer.

Each node says how long ago an event was. So the times of all nodes are on the clock of this
machine, and the clocks of theirs do not matter.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from zreg.cli.asking.targets import Target
from zreg.cli.asking.whole_cluster.every_node import (
    ask_each,
    ask_node,
    living_members,
    lost_members,
)
from zreg.cli.asking.whole_cluster.silence import Silence
from zreg.errors import Error
from zreg.membership.gone_nodes import gone_text
from zreg.model import Member
from zreg.wire.records.common_messages import Event, EventsReply, FetchEvents

_MILLISECONDS: Final = 1000


class NodeEvent(msgspec.Struct, frozen=True):
    """An event, the node at which it happened, and when, in seconds of this machine's clock."""

    at: float
    node_id: str
    event: Event


class _Told(msgspec.Struct, frozen=True):
    """What one node told, and why it did not tell all of it."""

    events: list[NodeEvent]
    silence: Silence | None = None


class _Cursor(msgspec.Struct, frozen=True):
    """Up to where the events of one process are known."""

    life: bytes = b""
    last: int = 0


class NodeEvents:
    """Asks every member for the events that it has not told yet."""

    def __init__(
        self, target: Target, *, kind: str, since_seconds: float | None, timeout_seconds: float
    ) -> None:
        self._target = target
        self._kind = kind
        self._since_seconds = since_seconds
        self._timeout_seconds = timeout_seconds
        self._cursors: dict[str, _Cursor] = {}

    def next(self) -> tuple[list[NodeEvent], list[Silence]]:
        """Return the new events in the order of their times, and the nodes that did not answer.

        Raises `UnavailableError` or `RefusedError` if the membership cannot be fetched.
        """
        found = asyncio.run(self._ask_all())
        events = [each for told in found for each in told.events]
        silent = [told.silence for told in found if told.silence is not None]
        return sorted(events, key=_order), silent

    async def _ask_all(self) -> Sequence[_Told]:
        living = await living_members(self._target, timeout_seconds=self._timeout_seconds)
        self._forget_all_but(member.node_id for member in living)
        lost = await lost_members(self._target)
        gone = [_Told([], Silence(each.incarnation.node_id, gone_text(each))) for each in lost]
        return [*await ask_each(living, self._ask_node), *gone]

    async def _ask_node(self, member: Member) -> _Told:
        found: list[NodeEvent] = []
        while True:
            try:
                reply = await self._ask_page(member)
            except Error as error:
                return _Told(found, Silence(member.node_id, str(error)))
            now = datetime.now(UTC).timestamp()
            found += [
                NodeEvent(now - event.milliseconds_ago / _MILLISECONDS, member.node_id, event)
                for event in reply.events
            ]
            self._cursors[member.node_id] = _Cursor(reply.life, reply.last)
            if reply.is_complete or not reply.events:
                return _Told(found)

    async def _ask_page(self, member: Member) -> EventsReply:
        cursor = self._cursors.get(member.node_id)
        # Only at first: what comes after the cursor is new, however long ago it is by now.
        since = self._since_seconds if cursor is None else None
        cursor = cursor or _Cursor()
        question = partial(
            FetchEvents,
            life=cursor.life,
            after=cursor.last,
            kind=self._kind,
            milliseconds_ago_max=None if since is None else int(since * _MILLISECONDS),
        )
        return await ask_node(self._target, member, question, EventsReply)

    def _forget_all_but(self, node_ids: Iterable[str]) -> None:
        known = set(node_ids)
        self._cursors = {each: at for each, at in self._cursors.items() if each in known}


def _order(found: NodeEvent) -> tuple[float, str, int]:
    return found.at, found.node_id, found.event.number
