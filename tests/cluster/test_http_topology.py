"""`/v1/ring` and `/v1/meta` show what the ring and the leader of meta say."""

import asyncio
from pathlib import Path

from http_cluster import HttpCluster, Json, client_of, http_cluster
from reactor_fakes import wait_until

from zreg.http.catalogue.topology_pages import LostNode, meta_report
from zreg.model import EMPTY_MEMBERSHIP, Incarnation, Role
from zreg.primitives.ring_plan import shares_of
from zreg.wire.records.membership_messages import GoneNode, SessionLoad
from zreg.wire.records.meta_messages import (
    CopyProgress,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
)


async def wait_for_load(cluster: HttpCluster, load: Json) -> None:
    """Ask until the leader knows that this is the only load of a session."""
    async with asyncio.timeout(20):
        while True:
            if (await cluster.get("/v1/meta"))["sessions"] == [load]:
                return
            await asyncio.sleep(0)


def test_the_ring_shows_the_share_of_each_data_node(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=2, session_count=1) as cluster:
            member = cluster.sessions[0]._core._cluster_member
            await wait_until(lambda: len(member.membership.of(Role.DATA)) == 2)
            membership = member.membership
            shares = shares_of(membership)
            assert await cluster.get("/v1/ring") == {
                "ring_epoch": membership.ring_epoch,
                "bucket_count": 1024,
                "replica_count": membership.ring.replica_count,
                "nodes": [
                    {
                        "node_id": node_id,
                        "status": "working",
                        "zone": "",
                        "weight": 1,
                        "primary_buckets": shares[node_id].primary_buckets,
                        "held_buckets": shares[node_id].held_buckets,
                        "guest_buckets": 0,
                    }
                    for node_id in ("d1", "d2")
                ],
            }
            assert sum(share.primary_buckets for share in shares.values()) == 1024

    asyncio.run(run())


def test_meta_shows_its_leader_and_the_loads_of_sessions(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            async with client_of(cluster) as client:
                await client.publish("pay", "a:1").wait_registered()
                await wait_for_load(cluster, {"node_id": "s1", "client_count": 1})
            statistics = cluster.meta.statistics()
            report = await cluster.get("/v1/meta")
            assert report["term"] == statistics["raft_term"]
            assert report["last_index"] == statistics["raft_last_index"]
            (node,) = report["nodes"]
            assert (node["node_id"], node["state"], node["is_silent"]) == ("m1", "leader", False)

    asyncio.run(run())


def test_without_a_leader_the_page_of_meta_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            member = cluster.sessions[0]._core._cluster_member
            await wait_until(lambda: bool(member.membership.of(Role.DATA)))
            await cluster.end(cluster.meta)
            await wait_until(lambda: bool(member.outage_sentence), timeout_seconds=20)
            status, code, detail = await cluster.refusal("/v1/meta")
            assert (status, code) == (503, "unavailable")
            assert "meta" in detail
            assert (await cluster.get("/v1/ring"))["nodes"][0]["node_id"] == "d1"

    asyncio.run(run())


def test_a_report_leaves_out_what_is_no_member_and_tells_who_is_silent() -> None:
    gone = Incarnation(3, "d9")
    nodes = (
        MetaNodeStatus("m1", "tcp://a:1", MetaNodeState.LEADER, 9, 0),
        MetaNodeStatus("m2", "tcp://b:1", MetaNodeState.VOTER, 7, 1_600),
        MetaNodeStatus("m3", "tcp://c:1", MetaNodeState.VOTER, 9, 10, "refused"),
    )
    lost = GoneNode(gone, Role.DATA, "tcp://d:1", "silent", 5, 3, 2, 12_500, 60_000)
    reply = MetaNodesReply(
        0,
        2,
        9,
        1,
        nodes,
        copying=(CopyProgress(gone, 1, 2),),
        session_loads=(SessionLoad(gone, 5),),
        gone=(lost,),
        silent=(gone,),
    )

    report = meta_report(reply, EMPTY_MEMBERSHIP)

    assert (report.copying, report.sessions, report.silent) == ([], [], [])
    assert report.gone == [
        LostNode(
            node_id="d9",
            role="data",
            address="tcp://d:1",
            joined_epoch=3,
            reason="it was silent for a lease: it hangs, or its machine or network failed",
            seconds_ago=12.5,
            seconds_lived=60.0,
            is_at_least=False,
            count=2,
        )
    ]
    assert [node.is_silent for node in report.nodes] == [False, True, True]
    assert [node.silent_seconds for node in report.nodes] == [0.0, 1.6, 0.01]
