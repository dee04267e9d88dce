"""Instances that are registered over HTTP, at real nodes: what subscribers and pages see."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from http_cluster import Answered, HttpCluster, client_of, http_cluster
from reactor_fakes import wait_until

import zreg
from zreg.http.instances.write_checks import BODY_BYTES_MAX, is_loopback
from zreg.http.server import HttpServer

PATH = "/v1/services/orders/instances/web-1"
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def two_sessions(directory: Path) -> AsyncIterator[tuple[HttpCluster, list[HttpServer]]]:
    """Return a cluster whose sessions both serve HTTP, and the servers."""
    async with http_cluster(directory) as cluster:
        second = cluster.sessions[1]
        second.bind_http(HttpServer, 0)
        assert second._http is not None
        await second._http.start()
        yield cluster, [cluster.server, second._http]


async def put(cluster: HttpCluster, document: object, path: str = PATH, **headers: str) -> Answered:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await cluster.ask("PUT", path, body, {**JSON, **headers})


async def put_text(cluster: HttpCluster, *values: object, path: str = PATH) -> dict[str, Any]:
    answered = await put(cluster, {"values": list(values)}, path)
    assert answered.status == 200, answered.body
    return answered.json


def test_an_instance_is_registered_renewed_changed_and_withdrawn(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster, 1) as client:
            view = client.subscribe("orders", scope=zreg.Scope.GLOBAL)
            first = await put_text(cluster, "10.0.0.7:80", path=f"{PATH}?lease_seconds=20")
            assert first == {
                "data_id": "orders",
                "instance_id": "DEFAULT_INSTANCE_ID",
                "group": "DEFAULT_GROUP",
                "id": "web-1",
                "publisher_id": first["publisher_id"],
                "outcome": "registered",
                "version": first["version"],
                "copies": 2,
                "session": {"node_id": "s1", "epoch": first["session"]["epoch"]},
                "lease_seconds": 20.0,
                "renew_within_seconds": 5.0,
            }
            await view.wait_for(1)

            again = await put_text(cluster, "10.0.0.7:80")
            assert again["outcome"] == "renewed"
            assert again["version"] == first["version"]
            assert (again["lease_seconds"], again["renew_within_seconds"]) == (30.0, 5.0)
            changed = await put_text(cluster, "10.0.0.8:80")
            assert (changed["outcome"], changed["version"]) == ("updated", first["version"] + 1)
            await wait_until(lambda: view.view.values == ("10.0.0.8:80",))

            answered = await cluster.ask("DELETE", PATH)
            assert answered.status == 200
            assert (answered.json["was_registered"], answered.json["copies"]) == (True, 2)
            await wait_until(lambda: not view.view)
            answered = await cluster.ask("DELETE", PATH)
            assert answered.json["was_registered"] is False

    asyncio.run(run())


def test_pages_and_views_show_what_a_document_says(tmp_path: Path) -> None:
    async def run() -> None:
        endpoint = {
            "host": "10.0.0.7",
            "port": 8080,
            "weight": 50,
            "version": "1.4",
            "tags": ["blue"],
            "metadata": {"rack": "7"},
        }
        values = [
            "text",
            {"kind": "bytes", "base64": "AAE="},
            {"kind": "endpoint", "endpoint": endpoint},
            {"kind": "endpoint", "endpoint": {"address": "10.0.0.8:80"}},
            {"kind": "endpoint", "endpoint": {"port": 9}},
        ]
        document = {
            "values": values,
            "attributes": {"owner": "shop"},
            "zone": "z7",
            "data_center": "dc",
            "app": "cron",
        }
        async with http_cluster(tmp_path) as cluster:
            answered = await put(cluster, document, f"{PATH}?group=g&instance_id=blue")
            assert answered.status == 200, answered.body
            page = await cluster.get("/v1/services/orders?group=g&instance_id=blue")
            (shown,) = page["instances"]
            assert shown["client_id"] == "http"
            assert shown["attributes"] == {"owner": "shop", "zreg.http": "web-1"}
            assert [shown["zone"], shown["data_center"], shown["app"]] == ["z7", "dc", "cron"]
            assert [each["kind"] for each in shown["values"]] == [
                "text",
                "bytes",
                *["endpoint"] * 3,
            ]
            addresses = [each["endpoint"]["address"] for each in shown["values"][2:]]
            assert addresses == ["10.0.0.7:8080", "10.0.0.8:80", "127.0.0.1:9"]

            # What a page shows can be sent as it is: it is a renewal.
            again = {name: shown[name] for name in ("values", "attributes", "zone")}
            answered = await put(cluster, again, f"{PATH}?group=g&instance_id=blue")
            assert answered.json["outcome"] == "renewed", answered.body
            found = await cluster.get("/v1/find?ip=10.0.0.7")
            assert [each["data_id"] for each in found["instances"]] == ["orders"]
            events = (await cluster.get("/v1/events?kind=instance"))["events"]
            assert events == []

    asyncio.run(run())


def test_renewals_at_two_sessions_in_turn_change_nothing_that_a_subscriber_sees(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with two_sessions(tmp_path) as (cluster, servers), client_of(cluster) as client:
            changes: list[zreg.ViewChange] = []
            path = f"{PATH}?lease_seconds=1"
            await put_text(cluster, "10.0.0.7:80", path=path)
            view = client.subscribe("orders", changes.append, scope=zreg.Scope.GLOBAL)
            await view.wait_for(1)
            for number in range(10):
                cluster.server = servers[number % 2]
                renewed = await put_text(cluster, "10.0.0.7:80", path=path)
                assert renewed["outcome"] == "renewed"
                assert renewed["session"]["node_id"] == f"s{number % 2 + 1}"
                await asyncio.sleep(renewed["renew_within_seconds"])  # what a program does
            assert len(changes) == 1
            taken = [node.statistics()["http_instances_taken"] for node in cluster.sessions]
            assert taken == [5, 4]

            # The program is dead now: its lease ends at the session that it asked last.
            await wait_until(lambda: not view.view)
            assert len(changes) == 2
            off = [node.statistics()["http_instances_off"] for node in cluster.sessions]
            assert off == [0, 1]

    asyncio.run(run())


def test_a_request_that_cannot_be_used_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            for document, words in (
                (b"{", "cannot be used"),
                (b"[" * 100_000, "cannot be used"),
                (b"\xff", "cannot be used"),
                ({"values": []}, "length >= 1"),
                ({"values": ["a"] * 65}, "length <= 64"),
                ({"values": ["a"], "weight": 1}, "unknown field `weight`"),
                ({"values": ["x" * 70_000]}, "the limit is 65536"),
                ({"values": ["\ud800"]}, "cannot be packed"),
                ({"values": [{"kind": "text", "base64": ""}]}, "has the field text and no other"),
                ({"values": [{"kind": "bytes", "base64": "?"}]}, "no base64"),
                ({"values": [{"kind": "endpoint", "endpoint": {}}]}, "port 0 cannot be used"),
                (
                    {"values": [{"kind": "endpoint", "endpoint": {"address": "h:1?weight=2"}}]},
                    "give weight and more as fields",
                ),
                ({"values": ["a"], "attributes": {"zreg.http": "b"}}, "the id of the instance"),
                ({"values": ["a"], "attributes": {"a": "x" * 2000}}, "is longer than"),
                ({"values": ["a"], "zone": "a\nb"}, "zone"),
            ):
                answered = await put(cluster, document)
                assert answered.status == 400, document
                assert answered.headers["content-type"] == "application/problem+json"
                assert words in answered.json["detail"], answered.json
            for query in ("lease_seconds=0.5", "lease_seconds=601", "lease_seconds=nan", "x=1"):
                assert (await put(cluster, {"values": ["a"]}, f"{PATH}?{query}")).status == 400
            wrong = PATH.replace("web-1", "web%20%231")
            assert (await put(cluster, {"values": ["a"]}, wrong)).status == 400
            assert cluster.sessions[0].statistics()["http_instances"] == 0
            assert cluster.server.counts["http_errors"] == 0

    asyncio.run(run())


def test_bodies_and_methods_have_their_limits(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            large = b"x" * (BODY_BYTES_MAX + 1)
            chunked = b"PUT " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
            chunked += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            chunked += b"%x\r\n" % len(large) + large + b"\r\n0\r\n\r\n"
            for answered in (await put(cluster, large), await cluster.send(chunked)):
                assert (answered.status, answered.json["code"]) == (413, "too-large")
            answered = await cluster.ask("PUT", PATH, b"{}", {"Content-Type": "text/plain"})
            assert (answered.status, answered.json["code"]) == (415, "unsupported-media-type")
            answered = await cluster.ask("POST", PATH, b"{}", JSON)
            assert (answered.status, answered.headers["allow"]) == (405, "DELETE, PUT")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://shop.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "shop.example"}, 421),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_no_web_site_writes(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            assert (await put(cluster, {"values": ["a"]}, **headers)).status == status
            assert (await cluster.ask("DELETE", PATH, headers=headers)).status == status

    asyncio.run(run())


def test_only_this_machine_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another machine cannot be had here: its address is taken for one of them.
    monkeypatch.setattr("zreg.http.instances.write_checks.is_loopback", lambda host: host == "::1")

    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            answered = await put(cluster, {"values": ["a"]})
            assert (answered.status, answered.json["code"]) == (403, "forbidden")
            assert "from programs on this machine only" in answered.json["detail"]
            assert (await cluster.ask("DELETE", PATH)).status == 403
            assert (await cluster.ask("GET", "/v1/services")).status == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_what_is_an_address_of_this_machine_alone(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_without_a_data_node_the_answer_says_what_to_do(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            await put_text(cluster, "a")
            await cluster.end(cluster.data[0])
            answered = await put(cluster, {"values": ["a"]})
            assert (answered.status, answered.json["code"]) == (503, "unavailable")
            assert "send the request again" in answered.json["detail"]
            assert cluster.sessions[0].statistics()["http_instances"] == 1

    asyncio.run(run())
