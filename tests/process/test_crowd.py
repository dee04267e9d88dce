"""Many real clients in few processes stay connected while changes go out to all of them."""

import json
from contextlib import ExitStack

from conftest import StartCluster
from watching import Worker

import zreg

PROCESSES, CLIENTS, CHANGES = 2, 60, 30


def test_no_client_of_a_crowd_loses_its_session_while_changes_go_out_to_all(
    start_cluster: StartCluster,
) -> None:
    cluster = start_cluster(sessions=1, data=1)
    with ExitStack() as stack:
        crowds = [
            stack.enter_context(Worker("crowd", cluster.url, "pay", str(CLIENTS), str(CHANGES)))
            for _ in range(PROCESSES)
        ]
        client = stack.enter_context(zreg.Client(cluster.url))
        publication = client.publish("pay", "0").wait_registered(30)
        for number in range(1, CHANGES + 1):
            publication.republish(str(number))
            publication.wait_registered(30)

        reports = [json.loads(crowd.ask()) for crowd in crowds]
        assert reports == [{"arrived": CLIENTS, "connected": CLIENTS, "lost": 0}] * PROCESSES
        session = cluster.of("session")[0]
        assert cluster.statistics(session.node_id)["clients"] == PROCESSES * CLIENTS + 1
