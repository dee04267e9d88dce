"""A node that was killed finds its port free, whatever other processes ask for meanwhile."""

import socket

import pytest
import zmq

import zreg
from zreg.testing.processes import RunningCluster
from zreg.testing.processes.reserved_ports import ReservedPorts


def test_only_a_node_can_bind_a_reserved_port() -> None:
    reserved = ReservedPorts(2)
    port = reserved.ports.start
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with zmq.Context() as context, context.socket(zmq.ROUTER) as node:
        node.bind(f"tcp://127.0.0.1:{port}")
        socket.create_connection(("127.0.0.1", port)).close()
    reserved.close()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))


def test_a_killed_node_returns_to_its_ports(cluster: RunningCluster) -> None:
    for node in list(cluster.nodes.values()):
        port = int(node.address.rpartition(":")[2])
        cluster.kill(node.node_id)
        cluster.wait_until(lambda killed=node: not killed.is_alive)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        assert cluster.restart(node.node_id).address == node.address


def test_a_node_that_comes_back_at_other_ports_is_found(cluster: RunningCluster) -> None:
    """The ports of a node that was restarted elsewhere are known from the membership alone."""
    former = cluster.nodes["data-1"].address
    with zreg.Client(cluster.url) as client:
        client.publish("pay", "v").wait_registered(5)
        cluster.kill("data-1")

        assert cluster.add("data", "data-1").address != former
        cluster.wait_until(lambda: cluster.statistics("data-1")["publishers"] == 1)
        client.publish("pay", "w").wait_registered(10)
