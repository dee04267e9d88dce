"""`/metrics` of real nodes shows what cores and reactors count, and leaves nothing out."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from http_cluster import HttpCluster, client_of, http_cluster
from prometheus_client.parser import text_string_to_metric_families
from reactor_fakes import wait_until

from zreg.http.metrics.metric_table import OF_ALL, OF_ROLE
from zreg.http.metrics.metrics_page import NodeCollector


async def scrape(cluster: HttpCluster) -> tuple[str, dict[str, float]]:
    """Return the page, and the value of each line by name and labels."""
    answered = await cluster.ask("GET", "/metrics", headers={"Host": "any.example.com"})
    assert answered.status == 200
    assert answered.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answered.body.decode()
    return text, {
        sample.name + "".join(f",{name}={value}" for name, value in sample.labels.items()): value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for value in [sample.value]
    }


def test_the_page_shows_what_the_session_holds(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            publications = [client.publish(f"id-{number}", "a:1") for number in range(7)]
            for publication in publications:
                await publication.wait_registered()
            await client.subscribe("id-0").wait_for(1)

            _, lines = await scrape(cluster)
            statistics = cluster.sessions[0].statistics()
            assert lines["zreg_session_clients"] == statistics["clients"] == 1
            assert lines["zreg_session_publishers"] == statistics["publishers"] == 7
            assert lines["zreg_session_subscribers"] == statistics["subscribers"] == 1
            assert lines["zreg_session_pending_publishers"] == 0
            assert lines["zreg_session_pushes_total"] == statistics["pushes"]
            assert lines["zreg_node_ready"] == 1
            assert lines["zreg_node_epoch"] == cluster.sessions[0].epoch
            assert lines["zreg_internal_errors_total,part=core"] == 0
            assert lines["process_resident_memory_bytes"] > 1 << 20
            assert not [name for name in lines if name.startswith("zreg_node_problems")]

            await cluster.end(cluster.data[0])
            await cluster.end(cluster.data[1])
            await wait_until(lambda: cluster.sessions[0].statistics()["pending"] == 7)
            _, lines = await scrape(cluster)
            assert lines["zreg_session_pending_publishers"] == 7
            problems = [name for name in lines if name.startswith("zreg_node_problems")]
            codes = {problem.code for problem in cluster.sessions[0].health().problems}
            assert {name.partition("code=")[2] for name in problems} == codes != set()

    asyncio.run(run())


def test_each_number_that_a_node_counts_is_a_metric(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path) as cluster, client_of(cluster) as client:
            await client.publish("pay", "a:1").wait_registered()
            await client.subscribe("pay").wait_for(1)
            # There is none before a push was timed.
            session = cluster.sessions[0]
            await wait_until(lambda: "push_lag_p50_seconds" in session.statistics())
            for node in (cluster.meta, cluster.data[0], cluster.sessions[0]):
                shown = {metric.statistic for metric in (*OF_ALL, *OF_ROLE[node.role])}
                statistics = {**cluster.server.counts, **node.statistics()}
                counted = {name for name, each in statistics.items() if not isinstance(each, str)}
                assert counted - shown == set(), node.role
                # No metric names a statistic that the core of this role does not have.
                of_role = {metric.statistic for metric in OF_ROLE[node.role]}
                assert of_role - statistics.keys() == set()
                assert list(NodeCollector(node, cluster.server.counts).collect())

    asyncio.run(run())


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: install the package prometheus of Debian",
)
def test_promtool_takes_the_page(tmp_path: Path) -> None:
    async def run() -> str:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            text, _ = await scrape(cluster)
            return text

    text = asyncio.run(run())
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
