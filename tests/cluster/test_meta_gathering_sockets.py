"""Three meta nodes on real sockets and journals agree on their founders, with a restart between."""

import asyncio
from pathlib import Path

from msgspec.structs import replace
from reactor_fakes import CLUSTER, LOOPBACK, wait_until

from zreg.cli.process.ports import free_ports
from zreg.config import Config
from zreg.discovery.announcement import Announcement, Interface
from zreg.discovery.sightings import Sighted
from zreg.model import Role
from zreg.nodes.base import NodeSettings
from zreg.nodes.meta import MetaNode, MetaPlace

NAMES = ("m1", "m2", "m3")
# Listening, an election, and a busy machine.
FOUNDING_SECONDS_MAX = 30.0


class Gatherers:
    """Meta nodes on one loop that are told of each other's announcements."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(len(NAMES))
        self.raft = {n: f"tcp://127.0.0.1:{p}" for n, p in zip(NAMES, ports, strict=True)}
        self.directory = directory
        self.nodes: dict[str, MetaNode] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        place = MetaPlace(
            address=LOOPBACK,
            membership_address=LOOPBACK,
            directory=self.directory / name,
            bootstrap_expect=3,
            raft_address=self.raft[name],
        )
        config = replace(Config.for_loopback(), cluster=CLUSTER)
        self.nodes[name] = MetaNode(NodeSettings(config=config, node_id=name), place)
        self.tasks[name] = asyncio.create_task(self.nodes[name].run())

    async def stop(self, name: str) -> None:
        self.nodes.pop(name).stop()
        await self.tasks.pop(name)

    def announce(self) -> None:
        """Have each node see the announcements of all."""
        for node in self.nodes.values():
            for name in self.nodes:
                at = self.raft[name]
                seen = Announcement(
                    role=Role.META,
                    node_id=name,
                    cluster=CLUSTER,
                    addresses=(at,),
                    raft_address=at,
                )
                node._reactor.post(Sighted(name, Interface("lo", is_loopback=True), seen))

    def details(self, name: str) -> str:
        return " ".join(problem.detail for problem in self.nodes[name].health().problems)

    def has_founded(self) -> bool:
        return all(node.epoch and not node.health().problems for node in self.nodes.values())


def test_nodes_that_are_told_nothing_but_announcements_found_one_cluster(tmp_path: Path) -> None:
    asyncio.run(found_and_restart(Gatherers(tmp_path)))


async def found_and_restart(gatherers: Gatherers) -> None:
    try:
        for name in NAMES[:2]:
            gatherers.start(name)
        gatherers.announce()
        await wait_until(lambda: "2 of 3 found: waiting for one more" in gatherers.details("m1"))
        await gatherers.stop("m2")
        await wait_until(lambda: "1 of 3 found: waiting for 2 more" in gatherers.details("m1"))
        for name in NAMES[1:]:
            gatherers.start(name)
        gatherers.announce()

        await wait_until(gatherers.has_founded, timeout_seconds=FOUNDING_SECONDS_MAX)
        founders = {node.identity.founders for node in gatherers.nodes.values()}
        assert len(founders) == 1

        for name in NAMES:
            await gatherers.stop(name)
        for name in NAMES:
            gatherers.start(name)
        await wait_until(gatherers.has_founded, timeout_seconds=FOUNDING_SECONDS_MAX)
        assert {node.identity.founders for node in gatherers.nodes.values()} == founders
    finally:
        for name in list(gatherers.nodes):
            await gatherers.stop(name)
