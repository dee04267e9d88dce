"""`/v1/watch`: each reader gets the newest state; none holds up a node or fills its memory."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from http_cluster import HttpCluster, Json, client_of, http_cluster
from reactor_fakes import wait_until

from zreg.http.responses import FaultError
from zreg.http.watches import watch_hub
from zreg.http.watches.watch_hub import BUFFER_BYTES_MAX, WATCHES_MAX, Watch, WatchHub, chunk_of
from zreg.model import DataInfoId, Version, data_info_id
from zreg.session.pages.page_watches import DatumMoved, WatchBegun, WatchEnded

PAY, SHOP = data_info_id("pay"), data_info_id("shop")


class Stream:
    """The events of an open watch."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._text = b""

    async def event(self) -> tuple[str, Json]:
        """Return the next event, and its data."""
        while True:
            block, found, rest = self._text.partition(b"\n\n")
            if not found:
                self._text += await self._chunk()
                continue
            self._text = rest
            fields = dict(line.split(b": ", 1) for line in block.splitlines() if b": " in line)
            if b"event" in fields:
                return fields[b"event"].decode(), json.loads(fields[b"data"])

    async def until(self, kind: str, **values: object) -> Json:
        """Return the first event of a kind that has these values."""
        async with asyncio.timeout(20):
            while True:
                found, data = await self.event()
                if found == kind and all(data[name] == value for name, value in values.items()):
                    return data

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readline(), 16)
        data = await self._reader.readexactly(size + 2)
        assert size
        return data[:-2]


@asynccontextmanager
async def watching(cluster: HttpCluster, query: str = "") -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.server.port)
    try:
        writer.write(f"GET /v1/watch{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"Content-Type: text/event-stream" in head
        yield Stream(reader)
    finally:
        writer.close()


def test_a_watch_of_a_service_gets_its_state_and_each_newer_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster:
            async with (
                client_of(cluster, 1) as client,
                watching(cluster, "?data_id=pay") as stream,
            ):
                first = await stream.until("service", instance_count=0)
                publication = client.publish("pay", "a:1")
                page = await stream.until("service", instance_count=1)
                assert page["instances"][0]["values"] == [{"kind": "text", "text": "a:1"}]
                assert page["version"] > first["version"]
                publication.republish("b:1")
                async with asyncio.timeout(20):
                    while page["instances"][0]["values"][0]["text"] != "b:1":
                        _, page = await stream.event()
                publication.unpublish()
                await stream.until("service", instance_count=0)
                assert cluster.server.counts["http_watches"] == 1
            await wait_until(lambda: not cluster.server.counts["http_watches"])

    asyncio.run(run())


def test_a_watch_of_an_empty_id_is_refused(tmp_path: Path) -> None:
    """A script whose variable is not set must not get everything."""

    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            status, _, detail = await cluster.refusal("/v1/watch?data_id=")
            assert (status, "data_id" in detail or "data id" in detail) == (400, True)

    asyncio.run(run())


def test_a_watch_of_everything_is_hinted_at_what_the_session_follows(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            http_cluster(tmp_path) as cluster,
            client_of(cluster) as client,
            watching(cluster) as stream,
        ):
            client.subscribe("pay")
            await stream.until("changed", data_id="pay", instance_count=0)
            await client.publish("shop", "a:1").wait_registered()
            await client.publish("pay", "a:1").wait_registered()
            hint = await stream.until("changed", data_id="pay", instance_count=1)
            page = await cluster.get("/v1/services/pay")
            assert hint.items() <= page.items()

    asyncio.run(run())


def test_a_watch_lives_longer_than_other_connections_and_takes_none_of_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zreg.http.connections.CONNECTIONS_MAX", 2)
    monkeypatch.setattr("zreg.http.connections.CONNECTION_SECONDS_MAX", 0.2)

    async def run() -> None:
        async with (
            http_cluster(tmp_path, data_count=1) as cluster,
            client_of(cluster) as client,
            watching(cluster, "?data_id=pay") as one,
            watching(cluster, "?data_id=pay") as two,
            watching(cluster) as three,
        ):
            idle = [
                await asyncio.open_connection("127.0.0.1", cluster.server.port) for _ in range(2)
            ]
            for reader, _ in idle:
                assert await reader.read() == b""
            client.publish("pay", "a:1")
            await one.until("service", instance_count=1)
            await two.until("service", instance_count=1)
            await three.until("changed", instance_count=1)
            for _, writer in idle:
                writer.close()

    asyncio.run(run())


def test_a_watch_that_never_reads_is_closed_and_counted(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1) as cluster, client_of(cluster) as client:
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(("127.0.0.1", cluster.server.port))
                deaf.send(b"GET /v1/watch?data_id=pay HTTP/1.1\r\nHost: a\r\n\r\n")
                numbers = count()
                publication = client.publish("pay", "x" * 60_000)
                await wait_until(lambda: cluster.server.counts["http_watches"])

                def is_dropped() -> bool:
                    publication.republish(str(next(numbers)) + "x" * 60_000)
                    return bool(cluster.server.counts["http_watches_dropped"])

                await wait_until(is_dropped, timeout_seconds=60)
            assert (await cluster.ask("GET", "/healthz")).status == 200

    asyncio.run(run())


def test_readers_that_leave_at_any_moment_are_no_bug(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            for turns in [*range(12), 50]:
                _, writer = await asyncio.open_connection("127.0.0.1", cluster.server.port)
                writer.write(b"GET /v1/watch?data_id=pay HTTP/1.1\r\nHost: a\r\n\r\n")
                for _ in range(turns):
                    await asyncio.sleep(0)
                writer.transport.abort()
            hub = cluster.server._watch_page
            assert hub is not None
            await wait_until(lambda: not len(hub.hub) and not cluster.server.counts["http_watches"])
            assert cluster.server.counts["http_errors"] == 0
            assert (await cluster.ask("GET", "/healthz")).status == 200

    asyncio.run(run())


# --- the hub alone -------------------------------------------------------------------------------


class Reader:
    """The connection of a watch: what was written, and how much of it is unread."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unsent = 0
        self.is_dropped = False

    def unsent_bytes(self) -> int:
        return self.unsent

    def write(self, chunk: bytes) -> None:
        self.written.append(chunk)

    def drop(self) -> None:
        self.is_dropped = True


class Hub:
    """A hub, what it told the core, and how often it asked for a state."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.counts: Counter[str] = Counter()
        self.asked: list[DataInfoId] = []
        # How many times the session cannot tell a state.
        self.unknown_count = 0
        self.hub = WatchHub(self.told.append, self._state_of, self._hint_of, self.counts)

    async def _state_of(self, name: DataInfoId) -> bytes | None:
        self.asked.append(name)
        if len(self.asked) <= self.unknown_count:
            return None
        return f"state {len(self.asked)}".encode()

    @staticmethod
    def _hint_of(moved: DatumMoved) -> bytes:
        return f"hint {moved.version};".encode()

    def open(self, name: DataInfoId | None) -> tuple[Watch, Reader]:
        reader = Reader()
        watch = self.hub.open(reader, name)
        self.hub.go_live(watch)
        return watch, reader

    def move(self, counter: int, name: DataInfoId = PAY) -> None:
        self.hub.on_moved(DatumMoved(name, Version(1, counter), counter))


def test_ten_thousand_watches_share_one_state_and_one_more_is_refused() -> None:
    async def run() -> None:
        bench = Hub()
        opened = [bench.open(PAY) for _ in range(WATCHES_MAX)]
        with pytest.raises(FaultError, match="10000 watches"):
            bench.open(PAY)
        for counter in range(100):
            bench.move(counter)
        await wait_until(lambda: opened[-1][1].written)
        assert all(reader.written == [chunk_of(b"state 1")] for _, reader in opened)
        assert bench.asked == [PAY]
        assert bench.told == [WatchBegun(PAY)]
        for watch, _ in opened:
            bench.hub.close(watch)
        assert len(bench.hub) == 0
        assert bench.told == [WatchBegun(PAY), WatchEnded(PAY)]
        bench.hub.stop()

    asyncio.run(run())


def test_hints_of_everything_are_joined_the_newest_of_each_service() -> None:
    async def run() -> None:
        bench = Hub()
        _, reader = bench.open(None)
        bench.move(1)
        bench.move(2, SHOP)
        bench.move(3)
        await wait_until(lambda: reader.written)
        assert reader.written == [chunk_of(b"hint 1.3;hint 1.2;")]
        assert bench.asked == []
        bench.hub.stop()

    asyncio.run(run())


def test_too_many_hints_at_once_are_cut_and_the_watch_is_told() -> None:
    async def run() -> None:
        bench = Hub()
        _, reader = bench.open(None)
        for number in range(1001):
            bench.move(number, data_info_id(f"name-{number}"))
        await wait_until(lambda: reader.written)
        assert reader.written[0].count(b"hint") == 1000
        assert reader.written[0].endswith(b"event: missed\ndata: {}\n\n\r\n")
        bench.hub.stop()

    asyncio.run(run())


def test_a_change_during_the_first_state_is_sent_after_it() -> None:
    async def run() -> None:
        bench = Hub()
        reader = Reader()
        watch = bench.hub.open(reader, PAY)
        _, other = bench.open(PAY)
        bench.move(1)
        await wait_until(lambda: other.written)
        assert reader.written == []
        bench.hub.go_live(watch)
        await wait_until(lambda: reader.written)
        assert reader.written == [chunk_of(b"state 2")]
        bench.hub.stop()

    asyncio.run(run())


def test_a_change_that_the_session_cannot_tell_is_told_once_it_can() -> None:
    async def run() -> None:
        bench = Hub()
        bench.unknown_count = 2
        _, reader = bench.open(PAY)
        bench.move(1)
        await wait_until(lambda: reader.written)
        assert reader.written == [chunk_of(b"state 3")]
        bench.hub.stop()

    asyncio.run(run())


def test_nothing_is_asked_for_a_watch_that_has_ended() -> None:
    async def run() -> None:
        bench = Hub()
        bench.unknown_count = 10**6
        watch, _ = bench.open(PAY)
        _, other = bench.open(SHOP)
        bench.move(1)
        await wait_until(lambda: bench.asked)
        bench.hub.close(watch)
        count = len(bench.asked)
        bench.unknown_count = count
        bench.move(2, SHOP)
        await wait_until(lambda: other.written)
        assert PAY not in bench.asked[count:]
        bench.hub.stop()

    asyncio.run(run())


def test_a_full_watch_is_closed_and_the_others_go_on() -> None:
    async def run() -> None:
        bench = Hub()
        _, full = bench.open(PAY)
        _, good = bench.open(PAY)
        full.unsent = BUFFER_BYTES_MAX + 1
        bench.move(1)
        await wait_until(lambda: good.written)
        assert (full.is_dropped, full.written) == (True, [])
        assert bench.counts == {"http_watches_dropped": 1}
        assert len(bench.hub) == 1
        bench.hub.stop()

    asyncio.run(run())


def test_a_watch_that_reads_nothing_between_two_pings_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_hub, "PING_SECONDS", 0.01)

    async def run() -> None:
        bench = Hub()
        _, deaf = bench.open(PAY)
        _, good = bench.open(PAY)
        deaf.unsent = 10
        await wait_until(lambda: deaf.is_dropped)
        assert len(deaf.written) == 1
        assert not good.is_dropped
        assert good.written[0] == chunk_of(b": ping\n\n")
        bench.hub.stop()

    asyncio.run(run())


def test_the_watched_services_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_hub, "WATCHED_NAMES_MAX", 1)

    async def run() -> None:
        bench = Hub()
        bench.open(PAY)
        bench.open(PAY)
        with pytest.raises(FaultError, match="services are watched"):
            bench.open(SHOP)
        bench.hub.stop()

    asyncio.run(run())
