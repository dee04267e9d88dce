"""The pages of a session against a real cluster: what they show is what the cores hold."""

import asyncio
import base64
from pathlib import Path
from urllib.parse import quote

from http_cluster import HttpCluster, Json, client_of, http_cluster
from reactor_fakes import wait_until

import zreg
from zreg.http.dashboard.dashboard_pages import DashboardPages

ENDPOINT = {
    "address": "10.0.0.7:8080",
    "host": "10.0.0.7",
    "port": 8080,
    "weight": 100,
    "version": "1.4",
    "tags": ["blue"],
    "metadata": {},
}


async def all_pages(cluster: HttpCluster, path: str, key: str) -> list[Json]:
    """Return the lines of all pages of a list."""
    lines: list[Json] = []
    cursor: str | None = ""
    joint = "&" if "?" in path else "?"
    while cursor is not None:
        page = await cluster.get(f"{path}{joint}cursor={cursor}")
        lines += page[key]
        cursor = page["next_cursor"]
    return lines


def test_services_are_listed_in_pages_by_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            names = [f"pay.{number:02}" for number in range(25)]
            publications = [client.publish(name, "10.0.0.7:80") for name in names]
            publications += [client.publish("shop", "a", group="test", instance_id="blue")]
            publications += [client.publish("shop", "b", group="test", instance_id="blue")]
            for publication in publications:
                await publication.wait_registered()

            lines = await all_pages(cluster, "/v1/services?limit=10", "services")
            assert [line["data_id"] for line in lines] == [*names, "shop"]
            assert lines[-1] == {
                "data_id": "shop",
                "instance_id": "blue",
                "group": "test",
                "instance_count": 2,
                "version": lines[-1]["version"],
            }
            for query, found in {
                "prefix=pay.1": names[10:20],
                "glob=pay.0%3F": names[:10],
                "glob=*1": [names[1], names[11], names[21]],
                "group=test": ["shop"],
                "group=other": [],
                "instance_id=blue": ["shop"],
                "glob=sh*&group=t*": ["shop"],
                "prefix=nothing": [],
            }.items():
                lines = await all_pages(cluster, f"/v1/services?{query}", "services")
                assert [line["data_id"] for line in lines] == found, query

    asyncio.run(run())


def test_a_service_shows_each_instance_as_it_was_published(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster, 1) as client:
            endpoint = zreg.Endpoint("10.0.0.7", 8080, version="1.4", tags={"blue"})
            publication = client.publish(
                "pay", "text", b"\x00\xff", endpoint, attributes={"owner": "team"}
            )
            await publication.wait_registered()

            page = await wait_until_page(cluster, "/v1/services/pay", "is_complete", value=True)
            (instance,) = page.pop("instances")
            assert page == {
                "data_id": "pay",
                "instance_id": "DEFAULT_INSTANCE_ID",
                "group": "DEFAULT_GROUP",
                "version": page["version"],
                "is_complete": True,
                "instance_count": 1,
                "next_cursor": None,
            }
            assert instance.pop("registered_at").startswith("20")
            assert len(instance.pop("client_id")) == len(instance.pop("publisher_id")) == 32
            assert instance == {
                "state": "up",
                "reason": "",
                "values": [
                    {"kind": "text", "text": "text"},
                    {"kind": "bytes", "base64": base64.b64encode(b"\x00\xff").decode()},
                    {"kind": "endpoint", "endpoint": ENDPOINT},
                ],
                "attributes": {"owner": "team"},
                "zone": "z1",
                "data_center": "",
                "app": "tests",
                "session": {"node_id": "s2", "epoch": instance["session"]["epoch"]},
                "version": 1,
            }

            publication.unpublish()
            await wait_until_page(cluster, "/v1/services/pay", "instance_count", value=0)

    asyncio.run(run())


async def wait_until_page(cluster: HttpCluster, path: str, key: str, *, value: object) -> Json:
    """Ask until a page has this value; return the page."""
    async with asyncio.timeout(20):
        while True:
            page = await cluster.get(path)
            if page[key] == value:
                return page
            await asyncio.sleep(0)


def test_the_instances_of_a_service_come_in_pages_and_by_zone(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            publications = [client.publish("pay", f"10.0.0.{number}:80") for number in range(25)]
            for publication in publications:
                await publication.wait_registered()
            await wait_until_page(cluster, "/v1/services/pay", "instance_count", value=25)

            instances = await all_pages(cluster, "/v1/services/pay?limit=10", "instances")
            assert [each["publisher_id"] for each in instances] == sorted(
                publication.publisher_id.hex() for publication in publications
            )
            assert len(await all_pages(cluster, "/v1/services/pay?zone=z1", "instances")) == 25
            for query in ("zone=z2", "data_center=other"):
                page = await cluster.get(f"/v1/services/pay?{query}")
                assert (page["instances"], page["instance_count"]) == ([], 25)

    asyncio.run(run())


def test_pages_follow_changes_and_the_death_of_a_data_node(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            publications = [client.publish(f"id-{number}", "a:1") for number in range(20)]
            for publication in publications:
                await publication.wait_registered()
            before = await all_pages(cluster, "/v1/services", "services")
            assert [line["instance_count"] for line in before] == [1] * 20

            await cluster.end(cluster.data[1])
            await wait_until(lambda: cluster.sessions[0].statistics()["pending"] == 0)
            page = await wait_until_nodes(cluster, ["d1", "m1", "s1", "s2"])
            assert {node["status"] for node in page["nodes"]} == {"working"}
            after = await all_pages(cluster, "/v1/services", "services")
            assert [line["data_id"] for line in after] == [line["data_id"] for line in before]
            for line in after:
                page = await cluster.get(f"/v1/services/{line['data_id']}")
                assert page["instance_count"] == 1

    asyncio.run(run())


async def wait_until_nodes(cluster: HttpCluster, names: list[str]) -> Json:
    async with asyncio.timeout(30):
        while True:
            page = await cluster.get("/v1/nodes")
            if sorted(node["node_id"] for node in page["nodes"]) == names:
                return page
            await asyncio.sleep(0.01)


def test_clients_and_subscribers_are_those_of_this_session(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            http_cluster(tmp_path) as cluster,
            client_of(cluster) as client,
            client_of(cluster, 1) as elsewhere,
        ):
            await client.publish("pay", "a:1").wait_registered()
            await elsewhere.subscribe("pay").wait_for(1)
            await client.subscribe("pay", scope=zreg.Scope.GLOBAL).wait_for(1)
            await client.subscribe("pay").wait_for(1)

            page = await cluster.get("/v1/clients")
            (line,) = page["clients"]
            assert page["client_count"] == 1
            assert line["seconds"] >= 0
            assert {**line, "seconds": 0, "client_id": ""} == {
                "client_id": "",
                "app": "tests",
                "zone": "z1",
                "data_center": "",
                "state": "connected",
                "seconds": 0,
                "publisher_count": 1,
                "subscription_count": 2,
            }
            page = await cluster.get("/v1/services/pay/subscribers")
            (subscriber,) = page["subscribers"]
            assert subscriber["client_id"] == line["client_id"]
            assert subscriber["scopes"] == ["data_center", "global"]
            assert subscriber["version"] == (await cluster.get("/v1/services/pay"))["version"]
            assert (await cluster.get("/v1/clients?app=other"))["clients"] == []

    asyncio.run(run())


def test_nodes_and_settings_are_shown_in_pages(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster:
            nodes = await all_pages(cluster, "/v1/nodes?limit=2", "nodes")
            assert [node["node_id"] for node in nodes] == ["s1", "s2", "d1", "d2", "m1"]
            page = await cluster.get("/v1/nodes?role=data")
            assert [node["role"] for node in page["nodes"]] == ["data", "data"]
            assert page["epoch"] == cluster.sessions[0].epoch
            assert page["meta_outage"] == ""
            assert (await cluster.get("/v1/settings"))["settings"] == []

    asyncio.run(run())


def test_prometheus_gets_the_endpoints_of_services_as_targets(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            endpoint = zreg.Endpoint(
                "10.0.0.7", 8080, version="1.4", tags={"b", "a"}, metadata={"rack-no": "7"}
            )
            for publication in (
                client.publish("pay.api", endpoint, attributes={"team": "x"}),
                client.publish("pay.web", "[::1]:81?weight=5", "no endpoint", b"bytes"),
                client.publish("shop", "a:1"),
            ):
                await publication.wait_registered()

            answered = await cluster.ask("GET", "/v1/prometheus-sd?prefix=pay.")
            assert answered.headers["content-type"] == "application/json"
            api, web = answered.json
            assert (api["targets"], web["targets"]) == (["10.0.0.7:8080"], ["[::1]:81"])
            labels = {name[len("__meta_zreg_") :]: text for name, text in api["labels"].items()}
            assert len(labels.pop("publisher_id")) == 32
            assert labels == {
                "data_id": "pay.api",
                "instance_id": "DEFAULT_INSTANCE_ID",
                "group": "DEFAULT_GROUP",
                "zone": "z1",
                "data_center": "",
                "app": "tests",
                "version": "1.4",
                "weight": "100",
                "state": "up",
                "tags": ",a,b,",
                "attribute_team": "x",
                "metadata_rack_no": "7",
            }
            assert web["labels"]["__meta_zreg_weight"] == "5"
            assert (await cluster.ask("GET", "/v1/prometheus-sd?glob=none")).json == []

            for number in range(48):
                await client.publish(f"many-{number}", "a:1").wait_registered()
            status, _, detail = await cluster.refusal("/v1/prometheus-sd")
            assert (status, detail[:21]) == (400, "more than 50 services")

    asyncio.run(run())


def test_the_instances_on_a_host_are_found(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            for publication in (
                client.publish("pay", "10.0.0.7:80", zreg.Endpoint("10.0.0.8", 81)),
                client.publish("shop", zreg.Endpoint("10.0.0.7", 81)),
                client.publish("other", "10.0.0.70:80", "x 10.0.0.7:1"),
                client.publish("six", "[::1]:80"),
            ):
                await publication.wait_registered()
            for host, names in {
                "10.0.0.7": ["pay", "shop"],
                "10.0.0.8": ["pay"],
                "::1": ["six"],
                "%5B::1%5D": ["six"],
                "10.0.0.9": [],
            }.items():
                page = await cluster.get(f"/v1/find?ip={host}")
                assert [each["data_id"] for each in page["instances"]] == names
                assert page["is_cut"] is False
            page = await cluster.get("/v1/find?ip=10.0.0.7&limit=1")
            assert (len(page["instances"]), page["is_cut"]) == (1, True)
            assert page["instances"][0]["instance"]["app"] == "tests"
            for path in ("/v1/find", "/v1/find?ip=", "/v1/find?ip=a%20b"):
                assert (await cluster.refusal(path))[:2] == (400, "bad-request"), path

    asyncio.run(run())


def test_events_of_each_node_are_shown_in_pages(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster:
            async with client_of(cluster) as client:
                await client.publish("pay", "a:1").wait_registered()
            await wait_until(lambda: cluster.sessions[0].statistics()["clients_off"])
            page = await cluster.get("/v1/events?kind=client.off")
            (event,) = page["events"]
            assert (page["node_id"], page["is_complete"]) == ("s1", True)
            assert (event["level"], event["kind"]) == ("info", "client.off")
            assert "cause=bye" in event["detail"]
            assert event["at"].startswith("20")

            everything = await cluster.get("/v1/events")
            page = await cluster.get("/v1/events?limit=1")
            found = page["events"]
            while not page["is_complete"]:
                page = await cluster.get(f"/v1/events?limit=1&cursor={page['next_cursor']}")
                found += page["events"]
            assert [each["number"] for each in found] == [
                each["number"] for each in everything["events"]
            ]
            elsewhere = await cluster.get("/v1/events?node=m1&kind=member")
            assert elsewhere["node_id"] == "m1"
            assert elsewhere["events"]
            assert (await cluster.refusal("/v1/events?node=x"))[:2] == (404, "not-found")
            assert (await cluster.refusal("/v1/events?cursor=AAAA"))[:2] == (400, "bad-request")

    asyncio.run(run())


# Requests that a page must refuse, each with status 400 and a reason.
BAD_REQUESTS = (
    "/v1/services?limit=0",
    "/v1/services?limit=1001",
    "/v1/services?limit=many",
    "/v1/services?limit=1&limit=2",
    "/v1/services?nonsense=1",
    "/v1/services?cursor=%21%21",
    "/v1/services?cursor=_w",
    "/v1/services?prefix=a*",
    "/v1/services?prefix=a&glob=b",
    "/v1/services?glob=" + "a" * 1000,
    "/v1/services/a%23b",
    "/v1/services/a%20b",
    "/v1/services/a%00b",
    "/v1/services/a?group=x%20y",
    "/v1/services/" + "a" * 300,
    "/v1/nodes?role=king",
    "/v1/settings?glob=" + "a" * 300,
    "/v1/clients?" + "&".join(f"x{number}=1" for number in range(100)),
)


def test_a_script_tag_is_a_name_like_others_and_stays_text(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            script = "<script>alert(1)</script>"
            await client.publish(script, script, attributes={"x": script}).wait_registered()
            page = await cluster.get(f"/v1/services/{quote(script, safe='')}")
            assert page["data_id"] == page["instances"][0]["values"][0]["text"] == script
            (line,) = (await cluster.get("/v1/services"))["services"]
            assert line["data_id"] == script

    asyncio.run(run())


def test_hostile_requests_are_refused_or_answered_and_never_a_bug(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            for path in BAD_REQUESTS:
                status, code, detail = await cluster.refusal(path)
                assert (status, code) == (400, "bad-request"), path
                assert 0 < len(detail) <= 500, path
            for path in ("/v1/services/%", "/v1/services/%zz", "/v1/services/%ff%fe"):
                assert (await cluster.ask("GET", path)).status in {200, 400}, path
            for path in ("/v1/services/a/b", "/v1/", "/v1/services/"):
                assert (await cluster.refusal(path))[:2] == (404, "not-found"), path
            assert (await cluster.ask("GET", "/v1/services?x=" + "a" * 5000)).status == 400
            assert cluster.server.counts["http_errors"] == 0
            statistics = cluster.sessions[0].statistics()
            assert statistics.get("core_errors", 0) == statistics.get("reactor_errors", 0) == 0

    asyncio.run(run())


def test_a_request_for_another_host_gets_no_page(tmp_path: Path) -> None:
    """A site that lets its name resolve to this machine must not read the pages."""

    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            for host in ("127.0.0.1:9603", "[::1]:9603", "localhost", "session-1", "a.svc.local"):
                answered = await cluster.ask("GET", "/v1/nodes", headers={"Host": host})
                assert answered.status == 200, host
            for host in ("evil.example.com", "127.0.0.1.evil.example.com:80", "a.example:80:80"):
                answered = await cluster.ask("GET", "/v1/nodes", headers={"Host": host})
                assert (answered.status, answered.json["code"]) == (421, "foreign-host"), host
                probe = await cluster.ask("GET", "/healthz", headers={"Host": host})
                assert probe.status == 200

    asyncio.run(run())


def test_the_openapi_document_lists_each_page_and_its_parameters(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            document = await cluster.get("/v1/openapi.json")
            router = cluster.server._runner.app.router
            served = {resource.canonical for resource in router.resources()}
            # The dashboard is for people: its files are no interface.
            served = {path for path in served if path != "/" and "/dashboard/" not in path}
            files = {route.path for route in DashboardPages().routes()}
            assert document["paths"].keys() == served - files
            found = document["paths"]["/v1/services/{data_id}"]["get"]["parameters"]
            assert [each["name"] for each in found] == [
                "data_id",
                "group",
                "instance_id",
                "limit",
                "cursor",
                "zone",
                "data_center",
            ]

    asyncio.run(run())


def test_without_a_data_node_pages_say_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            await cluster.end(cluster.data[0])
            for path in ("/v1/services", "/v1/services/pay"):
                status, code, detail = await cluster.refusal(path)
                assert (status, code) == (503, "unavailable"), detail
                assert "try again" in detail

    asyncio.run(run())
