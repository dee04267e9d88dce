"""Many real clients in few processes: their cost, and the fan-out of a change to all of them.

Each process makes its clients, and each client subscribes to one id, half of them with
`inline=True`. Then one change after the other is published; a change is measured from before
`republish` to the callback of the last client of all processes. A session is lost when a client
logs so. *Light* clients are bare sockets that speak the protocol: what a client costs the session.

    python bench/crowd.py                                   1,000 clients in 4 processes
    python bench/crowd.py --light                           the same with light clients
    python bench/crowd.py --processes 1 --clients 250 --changes 0      the cost of a client alone
"""

import argparse
import json
import logging
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import zmq

import zreg
from zreg.model import Scope, data_info_id
from zreg.testing.processes import RunningCluster
from zreg.wire.body import unpack_body
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.envelope import Envelope
from zreg.wire.messages import PROTOCOL_VERSION, Message
from zreg.wire.records.client_messages import Hello, Push, PushAck, ReplayDone, Subscribe, Welcome
from zreg.wire.records.common_messages import Ping

DATA_ID: Final = "crowd"
CONNECT_SECONDS_MAX: Final = 120.0
CHANGE_SECONDS_MAX: Final = 30.0
PAUSE_SECONDS: Final = 0.2
PING_SECONDS: Final = 1.0


# --- in the process of a crowd --------------------------------------------------------------------


class Arrivals:
    """How many clients of this process have which change; writes a line when all have it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._by_number: Counter[str] = Counter()
        self._first_at: dict[str, float] = {}

    def note(self, number: str) -> None:
        """Note one client."""
        now = time.monotonic()
        with self._lock:
            self._by_number[number] += 1
            first_at = self._first_at.setdefault(number, now)
            is_last = self._by_number[number] == self._count
        if is_last:
            _say(number=number, first=first_at, last=now)


class LossCounter(logging.Handler):
    """Counts the sessions that clients of this process lost."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line."""
        self.count += record.getMessage().startswith("client.session.lost")


def run_clients(url: str, inline: str, count: int) -> None:
    """Hold clients until the standard input ends; each line of it asks for a report."""
    losses = LossCounter()
    logging.getLogger("zreg.client").addHandler(losses)
    arrivals = Arrivals(count)

    def on_change(change: zreg.ViewChange) -> None:
        for publisher in (*change.added, *change.updated):
            arrivals.note(str(publisher.values[0]))

    before, started_at = _cost(), time.monotonic()
    clients = [zreg.Client(url) for _ in range(count)]
    subscriptions = []
    for number, client in enumerate(clients):
        is_inline = inline == "all" or (inline == "half" and number % 2 == 0)
        subscriptions.append(client.subscribe(DATA_ID, on_change, inline=is_inline))
    for subscription in subscriptions:
        subscription.wait_for(0, CONNECT_SECONDS_MAX)
    _say(connected=time.monotonic() - started_at, cost=_difference(before))
    for _ in sys.stdin:
        connected = sum(client.state is zreg.ClientState.CONNECTED for client in clients)
        _say(lost=losses.count, still_connected=connected, processor=time.process_time())
    for client in clients:
        client.close()


class LightClient:
    """A socket that follows one id."""

    def __init__(self, context: "zmq.Context[Any]", address: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.connect(f"tcp://{address}")
        self._header = Envelope("zreg").header(0)
        self.is_welcome = False
        self.send(Hello(PROTOCOL_VERSION, os.urandom(16)))
        self.send(Subscribe(1, data_info_id(DATA_ID), Scope.DATA_CENTER), ReplayDone())

    def send(self, *messages: Message) -> None:
        """Send records as one message."""
        self.socket.send_multipart([self._header, encode_frames(messages)[0]])

    def read(self, arrivals: Arrivals) -> None:
        """Take all that has come."""
        while self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            for record in decode_frame(self.socket.recv_multipart()[1]):
                if isinstance(record, Push):
                    self.send(PushAck(record.data_info_id, record.scope, record.version))
                    for publisher in record.publishers:
                        arrivals.note(str(unpack_body(publisher.body).values[0]))
                elif isinstance(record, Welcome):
                    self.is_welcome = True


def run_light_clients(address: str, count: int) -> None:
    """Hold light clients, as `run_clients`; none of them notices that it lost its session."""
    before, started_at, context = _cost(), time.monotonic(), zmq.Context[Any]()
    context.set(zmq.MAX_SOCKETS, 10_000)
    by_socket = {
        each.socket: each for each in (LightClient(context, address) for _ in range(count))
    }
    poller, arrivals = zmq.Poller(), Arrivals(count)
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    for socket in by_socket:
        poller.register(socket, zmq.POLLIN)
    has_reported, ping_at = False, time.monotonic() + PING_SECONDS
    while True:
        for ready, _ in poller.poll(100):
            if ready in by_socket:
                by_socket[ready].read(arrivals)
            elif not sys.stdin.readline():
                context.destroy(linger=0)
                return
            else:
                _say(lost=0, still_connected=count, processor=time.process_time())
        if time.monotonic() > ping_at:
            ping_at += PING_SECONDS
            for client in by_socket.values():
                client.send(Ping())
        if not has_reported and all(client.is_welcome for client in by_socket.values()):
            has_reported = True
            _say(connected=time.monotonic() - started_at, cost=_difference(before))


def _cost() -> dict[str, int]:
    """Return what this process takes: threads, descriptors and resident bytes."""
    own = Path("/proc/self")
    return {
        "threads": len(list((own / "task").iterdir())),
        "descriptors": len(list((own / "fd").iterdir())),
        "resident": int((own / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
    }


def _difference(before: dict[str, int]) -> dict[str, int]:
    return {name: value - before[name] for name, value in _cost().items()}


def _say(**record: object) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


# --- the measurement ------------------------------------------------------------------------------


class CrowdProcess:
    """One process of a crowd, and the lines that it writes."""

    def __init__(self, *arguments: str) -> None:
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--role", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next_with(self, key: str, seconds: float, value: str | None = None) -> dict[str, Any]:
        """Return the next line that has a key, with this value; `queue.Empty` without one."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
            if key in line and value in (None, line[key]):
                return line

    def report(self) -> dict[str, Any]:
        """Ask for a report and return it."""
        assert self._process.stdin is not None
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        return self.next_with("lost", 60)

    def __enter__(self) -> Self:
        """Return itself; leaving the block kills the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(json.loads(line))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Return what clients cost, how long changes took to the last of them, and what was lost."""
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningCluster(Path(directory), sessions=1, data=1) as cluster,
        ExitStack() as stack,
    ):
        place = cluster.of("session")[0].address if options.light else cluster.url
        what = ["light", place] if options.light else ["clients", place, options.inline]
        processes = [
            stack.enter_context(CrowdProcess(*what, str(options.clients)))
            for _ in range(options.processes)
        ]
        try:
            started = [each.next_with("connected", CONNECT_SECONDS_MAX) for each in processes]
        except queue.Empty:
            return {"error": f"not all clients connected within {CONNECT_SECONDS_MAX:g} s"}
        figures: dict[str, object] = {
            "clients": options.processes * options.clients,
            "connected_seconds": round(max(each["connected"] for each in started), 2),
            "per_client": _per_client([each["cost"] for each in started], options.clients),
        }
        before = sum(each.report()["processor"] for each in processes)
        with zreg.Client(cluster.url) as client:
            figures |= _fan_out(client, processes, options.changes)
        reports = [each.report() for each in processes]
        figures |= {key: sum(each[key] for each in reports) for key in ("lost", "still_connected")}
        if options.changes:
            spent = sum(each["processor"] for each in reports) - before
            clients = options.processes * options.clients
            figures["processor_ms"] = round(spent * 1000 / options.changes / clients, 3)
    return figures


def _fan_out(client: zreg.Client, processes: list[CrowdProcess], changes: int) -> dict[str, object]:
    if not changes:
        return {}
    publication = client.publish(DATA_ID, "0").wait_registered()
    _arrival(processes, "0")
    firsts, lasts = [], []
    for number in range(1, changes + 1):
        time.sleep(PAUSE_SECONDS)
        began_at = time.monotonic()
        publication.republish(str(number))
        times = _arrival(processes, str(number))
        if times is not None:
            firsts.append((times[0] - began_at) * 1000)
            lasts.append((times[1] - began_at) * 1000)
    figures: dict[str, object] = {"changes": changes, "unfinished": changes - len(lasts)}
    if lasts:
        figures |= {
            "first_ms_p50": round(statistics.median(firsts), 1),
            "last_ms_p50": round(statistics.median(lasts), 1),
            "last_ms_max": round(max(lasts), 1),
        }
    return figures


def _arrival(processes: list[CrowdProcess], number: str) -> tuple[float, float] | None:
    """Return when the first and the last client had the change; None if one never had it."""
    deadline = time.monotonic() + CHANGE_SECONDS_MAX
    try:
        lines = [
            each.next_with("number", deadline - time.monotonic(), number) for each in processes
        ]
    except queue.Empty:
        return None
    return min(line["first"] for line in lines), max(line["last"] for line in lines)


def _per_client(costs: list[dict[str, int]], count: int) -> dict[str, float]:
    means = {name: statistics.mean(cost[name] for cost in costs) / count for name in costs[0]}
    return {
        "threads": round(means["threads"], 2),
        "descriptors": round(means["descriptors"], 2),
        "kilobytes": round(means["resident"] / 1000, 1),
    }


def main() -> None:
    """Measure once and print the figures as JSON."""
    if sys.argv[1:3] == ["--role", "light"]:
        run_light_clients(sys.argv[3], int(sys.argv[4]))
        return
    if sys.argv[1:2] == ["--role"]:
        run_clients(sys.argv[3], sys.argv[4], int(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(description="Measure many clients in few processes.")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--clients", type=int, default=250, help="in each process")
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--inline", choices=["none", "half", "all"], default="half")
    parser.add_argument("--light", action="store_true", help="bare sockets in place of clients")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
