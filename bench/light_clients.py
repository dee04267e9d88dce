"""What many clients cost one session: idle, connecting, and in a fan-out.

The clients are light: one DEALER each, in one process, with the socket options and the records of
`zreg.Client` and without its threads. So thousands of them leave the machine to the session.

    python bench/light_clients.py                       1,000 clients: idle, new, fan-out, as JSON
    python bench/light_clients.py --clients 10000 --figures idle
    python bench/light_clients.py --clients 5000 --figures new
    python bench/light_clients.py --clients 4900 --figures storm    what a bystander waits meanwhile
"""

import argparse
import contextlib
import json
import resource
import select
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import zmq
from bystander import Child, figures_of
from peer_systems.processes import processor_seconds

import zreg
from zreg.config import Limits
from zreg.model import Scope, data_info_id
from zreg.reactor.sockets import socket_options
from zreg.testing.processes import NodeProcess, RunningCluster
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.envelope import Envelope
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import (
    CAPABILITIES,
    Hello,
    Publish,
    Push,
    PushAck,
    Subscribe,
    Welcome,
)
from zreg.wire.records.common_messages import Accepted, Ping

CLUSTER: Final = "zreg"
SERVICE: Final = "fan-out"
PING_SECONDS: Final = 1.0
# A ZeroMQ socket has an event descriptor beside that of its connection.
DESCRIPTORS_PER_CLIENT: Final = 2
# The contexts, the pipes of the nodes, and what Python has open.
OTHER_DESCRIPTORS: Final = 100
# With more sockets a context needs more I/O threads to keep up than a client has.
CLIENTS_PER_CONTEXT: Final = 2000
CHANGES: Final = 40
# A bystander of a storm has been there for so long, and is no newcomer to its session any more.
BYSTANDER_SECONDS: Final = 3.0
# Between two changes, so that each is measured by itself.
PAUSE_SECONDS: Final = 0.05


class LightClient:
    """One connection to a session; it greets, pings, publishes, subscribes and acknowledges."""

    def __init__(self, context: zmq.Context[Any], address: str, number: int, header: bytes) -> None:
        self.socket = context.socket(zmq.DEALER)
        socket_options.apply(self.socket, socket_options.DEALER_OF_CLIENT)
        self.socket.connect(address)
        self.descriptor = self.socket.getsockopt(zmq.FD)
        self.client_id = number.to_bytes(16, "big")
        self._header = header

    def send(self, *records: Message) -> None:
        """Send some records as one message."""
        for frame in encode_frames(records):
            self.socket.send(self._header, zmq.SNDMORE)
            self.socket.send(frame)

    def receive(self) -> Iterator[Message]:
        """Yield all records that have come."""
        with contextlib.suppress(zmq.Again):
            while True:
                _, frame = self.socket.recv_multipart(zmq.NOBLOCK)
                yield from decode_frame(frame)  # type: ignore[misc]  # a session sends no bad one


class Crowd:
    """Many light clients on one thread, woken by one epoll."""

    def __init__(self, address: str, count: int, capabilities: int = CAPABILITIES) -> None:
        self.capabilities = capabilities
        header = Envelope(CLUSTER).header(0)
        contexts = -(-count // CLIENTS_PER_CONTEXT)
        self._contexts: list[zmq.Context[Any]] = [zmq.Context() for _ in range(contexts)]
        for context in self._contexts:
            # A closed socket keeps its place until the context has ended it.
            context.set(zmq.MAX_SOCKETS, 2 * CLIENTS_PER_CONTEXT + 8)
        self._connect = lambda number: LightClient(
            self._contexts[number // CLIENTS_PER_CONTEXT], address, number + 1, header
        )
        self.clients: list[LightClient] = []
        self._by_descriptor: dict[int, LightClient] = {}
        self._epoll = select.epoll()
        self._count = count
        self.reconnect()
        # Whose ping is due next, and when.
        self._pings = deque[tuple[float, LightClient]]()
        self._used: dict[LightClient, None] = {}

    def reconnect(self) -> None:
        """Close all connections, and make them anew for the same clients."""
        for descriptor in self._by_descriptor:
            # libzmq may give it to a new socket before it has closed the former one.
            self._epoll.unregister(descriptor)
        self._close_sockets()
        self.clients = [self._connect(number) for number in range(self._count)]
        self._by_descriptor = {client.descriptor: client for client in self.clients}
        for descriptor in self._by_descriptor:
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def _close_sockets(self) -> None:
        for client in self.clients:
            client.socket.close(0)

    def close(self) -> None:
        """Close all connections."""
        self._close_sockets()
        for context in self._contexts:
            context.term()
        self._epoll.close()

    def send(self, client: LightClient, *records: Message) -> None:
        """Send records; the next `turn` looks for input that the send may have swallowed."""
        client.send(*records)
        self._used[client] = None

    def hello(self, client: LightClient) -> Hello:
        """Return the first record of a client."""
        return Hello(PROTOCOL_VERSION, client.client_id, capabilities=self.capabilities)

    def start_pings(self) -> None:
        """Ping with each client once a second, evenly spread."""
        now, pause = time.monotonic(), PING_SECONDS / len(self.clients)
        self._pings.extend((now + n * pause, client) for n, client in enumerate(self.clients))

    def turn(self, seconds: float = 0.1) -> list[tuple[LightClient, Message]]:
        """Wait for input or a ping that is due; return the records that came."""
        now = time.monotonic()
        while self._pings and self._pings[0][0] <= now:
            due_at, client = self._pings.popleft()
            self.send(client, Ping())
            self._pings.append((due_at + PING_SECONDS, client))
        if self._pings:
            seconds = min(seconds, max(0.0, self._pings[0][0] - now))
        used, self._used = self._used, {}
        events = self._epoll.poll(0.0 if used else seconds, 1024)
        ready = dict.fromkeys(self._by_descriptor[descriptor] for descriptor, _ in events)
        return [(client, record) for client in ready | used for record in client.receive()]

    def wait_for(self, kind: type[Message], count: int, seconds_max: float = 60.0) -> None:
        """Take turns until so many records of a kind have come."""
        until = time.monotonic() + seconds_max
        while count > 0:
            assert time.monotonic() < until, f"{count} {kind.__name__} are missing"
            count -= sum(isinstance(record, kind) for _, record in self.turn())


def greet_all(crowd: Crowd) -> None:
    """Have every client greeted."""
    for client in crowd.clients:
        crowd.send(client, crowd.hello(client))
    crowd.wait_for(Welcome, len(crowd.clients))


def measure_idle(crowd: Crowd, session: NodeProcess, seconds: float) -> dict[str, float]:
    """Return the processor time of the session for one idle client and second."""
    crowd.start_pings()
    ends_at = time.monotonic() + 1.0
    while time.monotonic() < ends_at:
        crowd.turn()
    began_at, before = time.monotonic(), processor_seconds([session.pid])
    while time.monotonic() < began_at + seconds:
        crowd.turn()
    elapsed, used = time.monotonic() - began_at, processor_seconds([session.pid]) - before
    return {
        "idle_ms_per_client_second": round(1000 * used / elapsed / len(crowd.clients), 4),
        "idle_share_of_a_core": round(used / elapsed, 3),
    }


def measure_new(crowd: Crowd, session: NodeProcess) -> dict[str, float]:
    """Return what the session takes for a client that connects, greets and publishes once."""
    began_at, before = time.monotonic(), processor_seconds([session.pid])
    for client in crowd.clients:
        crowd.send(client, crowd.hello(client))
    missing = len(crowd.clients)
    while missing:
        assert time.monotonic() < began_at + 120, f"{missing} clients are not registered"
        for client, record in crowd.turn():
            if isinstance(record, Welcome):
                name = data_info_id(f"new-{client.client_id.hex()}")
                crowd.send(client, Publish(1, client.client_id, 1, name, b"\x01"))
            missing -= isinstance(record, Accepted)
    elapsed, used = time.monotonic() - began_at, processor_seconds([session.pid]) - before
    return {
        "new_ms_per_client": round(1000 * used / len(crowd.clients), 3),
        "new_seconds": round(elapsed, 2),
    }


def measure_storm(crowd: Crowd, session: NodeProcess, cluster: RunningCluster) -> dict[str, float]:
    """Return how long it takes all clients to come back at once, and what a bystander waits.

    The bystander publishes in a process of its own, from seconds before the storm until all are
    back.
    """
    measure_new(crowd, session)
    bystander = Child("publish", cluster.url)
    assert bystander.read() == ["ready"]
    until = time.monotonic() + BYSTANDER_SECONDS
    while time.monotonic() < until:
        crowd.turn()
    began_at = time.monotonic()
    crowd.reconnect()
    taken = measure_new(crowd, session)
    ended_at = time.monotonic()
    turns = [(float(at), float(took)) for at, took in bystander.end()]
    waits = figures_of("bystander", turns, began_at, ended_at)
    return {"storm_seconds": taken["new_seconds"], **waits}


class Acknowledging:
    """The subscriptions of a crowd to one id, acknowledged as `zreg.Client` does."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._name = data_info_id(SERVICE)
        self._gathered_max = Limits.pushes_gathered_max if crowd.capabilities else 1
        self._gathered = dict.fromkeys(crowd.clients, 0)

    def subscribe(self) -> None:
        """Let every client subscribe."""
        for client in self._crowd.clients:
            self._crowd.send(client, Subscribe(1, self._name, Scope.GLOBAL))

    def wait_for_all(self) -> None:
        """Take turns until every client has had one more push."""
        missing, until = len(self._crowd.clients), time.monotonic() + 60
        while missing:
            assert time.monotonic() < until, f"{missing} pushes are missing"
            for client, record in self._crowd.turn():
                if isinstance(record, Push):
                    missing -= 1
                    self._take(client, record)

    def _take(self, client: LightClient, push: Push) -> None:
        self._gathered[client] += 1
        if push.source_version is None or self._gathered[client] >= self._gathered_max:
            self._gathered[client] = 0
            self._crowd.send(client, PushAck(self._name, Scope.GLOBAL, push.version))


def measure_fan_out(
    crowd: Crowd, session: NodeProcess, cluster: RunningCluster
) -> dict[str, float]:
    """Return how long the last client waits for a change, and what a push takes of the session."""
    subscriptions = Acknowledging(crowd)
    taken: list[float] = []
    with zreg.Client(cluster.url) as publisher:
        publication = publisher.publish(SERVICE, "first").wait_registered()
        subscriptions.subscribe()
        subscriptions.wait_for_all()
        turns_before = float(cluster.statistics(session.node_id)["turns"])
        before = processor_seconds([session.pid])
        for number in range(CHANGES):
            began_at = time.monotonic()
            publication.republish(f"value {number}")
            subscriptions.wait_for_all()
            taken.append(time.monotonic() - began_at)
            pause_until = time.monotonic() + PAUSE_SECONDS
            while time.monotonic() < pause_until:
                crowd.turn(0.01)
        used = processor_seconds([session.pid]) - before
        turns = float(cluster.statistics(session.node_id)["turns"]) - turns_before
    return {
        "fan_out_last_ms": round(1000 * statistics.median(taken), 1),
        "fan_out_session_us_per_push": round(1e6 * used / CHANGES / len(crowd.clients), 1),
        "fan_out_session_turns_per_change": round(turns / CHANGES, 1),
    }


def measure(
    figure: str, crowd: Crowd, session: NodeProcess, cluster: RunningCluster, seconds: float
) -> dict[str, float]:
    """Return one figure by its name."""
    match figure:
        case "new":
            return measure_new(crowd, session)
        case "storm":
            return measure_storm(crowd, session, cluster)
    greet_all(crowd)
    if figure == "idle":
        return measure_idle(crowd, session, seconds)
    return measure_fan_out(crowd, session, cluster)


def main() -> None:
    """Measure each figure on a cluster of its own and print all as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the figure idle")
    parser.add_argument("--figures", default="idle,new,fan-out")
    parser.add_argument("--ack-each", action="store_true", help="acknowledge pushes one by one")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # In a storm the former sockets are closed while the new ones connect.
    sockets_each = 2 if "storm" in arguments.figures else 1
    clients_max = (hard - OTHER_DESCRIPTORS) // (DESCRIPTORS_PER_CLIENT * sockets_each)
    if arguments.clients > clients_max:
        parser.error(
            f"this process may have {hard} descriptors, enough for {clients_max} light clients: "
            "raise its limit (ulimit -Hn), or measure fewer"
        )
    result: dict[str, float] = {"clients": arguments.clients}
    for figure in arguments.figures.split(","):
        with (
            tempfile.TemporaryDirectory() as directory,
            RunningCluster(Path(directory), sessions=1, data=1) as cluster,
        ):
            (session,) = cluster.of("session")
            capabilities = 0 if arguments.ack_each else CAPABILITIES
            crowd = Crowd(f"tcp://{session.address}", arguments.clients, capabilities)
            with contextlib.closing(crowd):
                result |= measure(figure, crowd, session, cluster, arguments.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
