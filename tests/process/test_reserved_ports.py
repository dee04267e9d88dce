"""A node that was killed finds its port free, whatever other processes ask for meanwhile."""

import socket

import pytest
import zmq

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
