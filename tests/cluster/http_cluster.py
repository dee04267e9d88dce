"""A cluster on one event loop whose first session serves HTTP, and a client of its pages."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from reactor_fakes import LOOPBACK, wait_until

import zreg
from zreg.config import Config
from zreg.http.server import HttpServer
from zreg.nodes.base import Node, NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.nodes.session import SessionNode

Json = dict[str, Any]


class Answered:
    """An answer of a node: its status, headers and body."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if raw else 0
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
        }

    @property
    def json(self) -> Json:
        body: Json = json.loads(self.body)
        return body


class HttpCluster:
    """One meta node, data nodes and sessions; `get` asks the first session."""

    def __init__(self, directory: Path, *, data_count: int = 2, session_count: int = 2) -> None:
        config = Config.for_loopback()
        place = MetaPlace(address=LOOPBACK, membership_address=LOOPBACK, directory=directory / "m1")
        self.meta = MetaNode(NodeSettings(config=config, node_id="m1"), place)
        config = replace(config, meta_addresses=(self.meta.address,))
        self.data = [
            DataNode(
                NodeSettings(config=config, node_id=f"d{number}"),
                address=LOOPBACK,
                changes_address=LOOPBACK,
            )
            for number in range(1, data_count + 1)
        ]
        self.sessions = [
            SessionNode(NodeSettings(config=config, node_id=f"s{number}"), address=LOOPBACK)
            for number in range(1, session_count + 1)
        ]
        self.sessions[0].bind_http(HttpServer, 0)
        assert self.sessions[0]._http is not None
        self.server = self.sessions[0]._http
        self.running: dict[Node, asyncio.Task[None]] = {}

    @property
    def nodes(self) -> list[Node]:
        return [self.meta, *self.data, *self.sessions]

    def url(self, session: int = 0) -> str:
        return self.sessions[session].address.replace("tcp://", "zreg://")

    async def start(self) -> None:
        self.running = {node: asyncio.create_task(node.run()) for node in self.nodes}
        await wait_until(self._is_settled, timeout_seconds=30)

    def _is_settled(self) -> bool:
        """Return whether all nodes serve and agree, and data nodes have all their copies."""
        if not all(node.is_serving and node.health().is_ready for node in self.nodes):
            return False
        ring_epoch = self.meta.statistics()["ring_epoch"]
        figures = [node.statistics() for node in self.data]
        return len({node.epoch for node in self.nodes}) == 1 and all(
            figure["ring_epoch"] == ring_epoch
            and figure["copies_in_sync"] == figure["copies_wanted"]
            and figure["unreconciled"] == 0
            for figure in figures
        )

    async def stop(self) -> None:
        for node in reversed(self.nodes):
            await self.end(node)

    async def end(self, node: Node) -> None:
        """Stop one node, if it runs, and wait for its end."""
        running = self.running.pop(node, None)
        if running is not None:
            node.stop()
            await running

    async def send(self, data: bytes) -> Answered:
        """Send bytes to the first session's HTTP server; return the whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(data)
            async with asyncio.timeout(20):
                return Answered(await reader.read())
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answered:
        """Send a request; return the answer."""
        given = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return await self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def get(self, path: str) -> Json:
        """Return the JSON of a page that answers 200."""
        answered = await self.ask("GET", path)
        assert answered.status == 200, answered.body
        return answered.json

    async def refusal(self, path: str) -> tuple[int, str, str]:
        """Return status, code and detail of a page that refuses."""
        answered = await self.ask("GET", path)
        assert answered.headers["content-type"] == "application/problem+json"
        return answered.status, answered.json["code"], answered.json["detail"]


@asynccontextmanager
async def http_cluster(directory: Path, **counts: int) -> AsyncIterator[HttpCluster]:
    cluster = HttpCluster(directory, **counts)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


@asynccontextmanager
async def client_of(cluster: HttpCluster, session: int = 0) -> AsyncIterator[zreg.AsyncClient]:
    async with zreg.AsyncClient(
        cluster.url(session), config=Config.for_loopback(), zone="z1", app="tests"
    ) as client:
        yield client
