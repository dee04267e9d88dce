"""A command names each node that did not tell all of its events."""

import asyncio
from typing import Any

import pytest

from zreg.cli.asking.targets import Target
from zreg.cli.asking.whole_cluster import node_events
from zreg.cli.asking.whole_cluster.node_events import NodeEvents
from zreg.effects import Link
from zreg.errors import UnavailableError
from zreg.model import Member, Role, Status
from zreg.wire.records.common_messages import Event, EventsReply

NODE = Member("d1", Role.DATA, 3, Status.WORKING, "tcp://d1:1", "tcp://d1:2")
PAGE = EventsReply(1, "d1", b"life", 1, (Event(1, 0, 20, "a", "", ""),), is_complete=False)


def test_a_node_that_stops_answering_between_two_pages_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = [PAGE]

    async def living_members(*_: Any, **__: Any) -> list[Member]:
        return [NODE]

    async def lost_members(*_: Any) -> tuple[()]:
        return ()

    async def ask_node(*_: Any) -> EventsReply:
        await asyncio.sleep(0)
        if not pages:
            raise UnavailableError("it is cut off")
        return pages.pop()

    monkeypatch.setattr(node_events, "living_members", living_members)
    monkeypatch.setattr(node_events, "lost_members", lost_members)
    monkeypatch.setattr(node_events, "ask_node", ask_node)
    target = Target(Link.SESSION, ("tcp://s1:1",), "zreg")
    asked = NodeEvents(target, kind="", since_seconds=None, timeout_seconds=1.0)

    found, silent = asked.next()

    assert [each.event.number for each in found] == [1]
    assert [(each.node_id, each.reason) for each in silent] == [("d1", "it is cut off")]
