"""Bursts, long names and withdrawals that wait: nothing exceeds a limit, and nothing is lost."""

from zreg.client.core.commands import Answered, Ask
from zreg.config import Config
from zreg.model import data_info_id
from zreg.testing.sim.cluster import SimCluster
from zreg.wire.records.data_messages import DatumsListed, ListDatums

META = ("tcp://meta:9610",)
WIDE = "\U0001f98a" * 250


def held(cluster: SimCluster, session: str) -> int:
    """Return how many registrations a session holds."""
    return int(cluster.sim.processes[session].core.statistics()["publishers"])


def list_all(cluster: SimCluster, client: str, pages_max: int = 50) -> list[str]:
    """Ask page after page for all names."""
    found: list[str] = []
    for ask_id in range(1, pages_max):
        after = found[-1] if found else ""
        cluster.sim.post(client, Ask(ask_id, ListDatums(0, "*", after), 5.0))
        cluster.run(0.5)
        events = cluster.sim.processes[client].events
        (answer,) = (e.answer for e in events if isinstance(e, Answered) and e.ask_id == ask_id)
        assert isinstance(answer, DatumsListed)
        found += [line.data_info_id for line in answer.datums]
        if answer.is_complete:
            return found
        assert answer.datums
    raise AssertionError("the listing does not end")


def test_a_listing_of_long_names_over_several_data_nodes_is_whole() -> None:
    cluster = SimCluster(1).start(data=3)
    cluster.client("publisher")
    cluster.client("reader")
    names = [
        data_info_id(f"{number:03}{WIDE}", instance_id=WIDE, group=WIDE) for number in range(600)
    ]
    for name in names:
        cluster.publish("publisher", name, "x")
    cluster.run(2.0)

    assert list_all(cluster, "reader") == names


def test_ten_minutes_of_fresh_ids_without_a_data_node_fills_no_memory_and_loses_nothing() -> None:
    config = Config(meta_addresses=META, publishers_per_client_max=20)
    cluster = SimCluster(2, config).start()
    cluster.client("churner")
    cluster.client("reader")
    pay = data_info_id("pay")
    view = cluster.subscribe("reader", pay)
    assert cluster.settles(view, [])
    kept = cluster.publish("churner", pay, "kept")
    gone = cluster.publish("churner", pay, "gone")
    assert cluster.settles(view, ["kept", "gone"])
    cluster.sim.kill("data-1")

    cluster.unpublish("churner", gone)
    held_max = 0
    for number in range(120):
        fresh = cluster.publish("churner", data_info_id(f"fresh-{number}"), "x")
        cluster.run(2.5)
        cluster.unpublish("churner", fresh)
        cluster.run(2.5)
        held_max = max(held_max, held(cluster, "session-1"))
    assert held_max == 20

    cluster.data(1)
    assert cluster.settles(view, ["kept"], 30.0)
    cluster.run(2.0)
    assert held(cluster, "session-1") == 1
    cluster.publish("churner", pay, "newer", kept)
    assert cluster.settles(view, ["newer"])


def test_what_was_dropped_before_a_session_that_did_not_read_is_said_again() -> None:
    cluster = SimCluster(3).start(sessions=2)
    cluster.client("writer", [1])
    cluster.client("reader", [2])
    pay = data_info_id("pay")
    view = cluster.subscribe("reader", pay)
    ids = [cluster.publish("writer", pay, "0") for _ in range(5)]
    assert cluster.settles(view, ["0"] * 5)
    cluster.sim.faults.deaf.add("session-1")

    for value in range(1, 200):
        for publisher_id in ids:
            cluster.publish("writer", pay, str(value), publisher_id)
        cluster.run(0.01)

    assert cluster.sim.faults.fired["peer slow"]
    assert not cluster.settles(view, ["199"] * 5, 0.5)
    cluster.sim.read_again("session-1")
    assert cluster.settles(view, ["199"] * 5)
