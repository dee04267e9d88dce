"""How fast meta commits: settings written to three nodes with disks, beside three etcd nodes.

Both clusters run at once and are measured in turns, in the same way: one process with N proposers,
each with one write under way. An answer means that a majority has the write on disk. etcd is asked
over its JSON gateway on HTTP, since its own protocol needs a client library. HTTP costs both ends
more than zreg's frames, so read the `etcd` figures as what a Python program gets from etcd.

    python bench/commits.py --rounds 20        needs Debian's etcd-server
"""

import argparse
import base64
import itertools
import json
import selectors
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import zmq

from zreg.cli.process.ports import free_ports
from zreg.errors import NotLeaderError
from zreg.testing.processes import Running, zreg_command
from zreg.wire.codec import decode_frame, encode_frames, encode_record
from zreg.wire.envelope import Envelope
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.settings_messages import SetSetting, SettingsReply

PROPOSERS: Final = (1, 16, 256)
VALUE: Final = "x" * 100
WARM_UP_SECONDS: Final = 0.5
START_SECONDS_MAX: Final = 20.0


class Commits(NamedTuple):
    """The rate and latencies of the proposers; times in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


# Writes for so many seconds, and returns how long each write took.
Drive = Callable[[float], list[float]]
Side = Callable[[int], AbstractContextManager[Drive]]


def _summary(latencies: list[float], seconds: float) -> Commits:
    cuts = statistics.quantiles(latencies, n=100)
    return Commits(
        round(len(latencies) / seconds, 1), round(cuts[49] * 1000, 2), round(cuts[98] * 1000, 2)
    )


# --- zreg -----------------------------------------------------------------------------------------


class Proposers:
    """N proposers on one connection to the leader, each with one write under way."""

    def __init__(self, socket_: "zmq.Socket[bytes]", count: int) -> None:
        self._socket = socket_
        # A poll before each answer would cost this process more than sending and receiving do.
        self._socket.rcvtimeo = 2000
        self._count = count
        self._header = Envelope("zreg").header(0)
        self._sent_at: dict[int, float] = {}
        # Encoded beforehand, as etcd's requests are; more than are ever under way.
        requests = [SetSetting(each, f"bench-{each}", VALUE) for each in range(1, 513)]
        self._requests = itertools.cycle([(r.request_id, encode_record(r)) for r in requests])

    def run(self, seconds: float) -> list[float]:
        """Replace each committed write by a new one, then wait for the last; return the times."""
        latencies: list[float] = []
        until = time.monotonic() + seconds
        self._propose(self._count)
        while self._sent_at:
            records = self._receive()
            now = time.monotonic()
            for record in records:
                if not isinstance(record, SettingsReply):
                    raise RuntimeError(f"refused: {record}")  # noqa: TRY004 -- an answer, no type
                latencies.append(now - self._sent_at.pop(record.request_id))
            if now < until:
                self._propose(len(records))
        return latencies

    def _propose(self, count: int) -> None:
        now = time.monotonic()
        records = []
        for request_id, record in itertools.islice(self._requests, count):
            self._sent_at[request_id] = now
            records.append(record)
        for frame in encode_frames(records):
            self._socket.send(self._header, zmq.SNDMORE)
            self._socket.send(frame)

    def _receive(self) -> Sequence[object]:
        try:
            self._socket.recv()
            return decode_frame(self._socket.recv())
        except zmq.Again:
            raise RuntimeError("meta did not answer within two seconds") from None


@contextmanager
def _zreg(directory: Path) -> Iterator[list[str]]:
    """Run three meta nodes on loopback; yield the addresses for requests."""
    names = [f"m{number}" for number in range(3)]
    ports = free_ports(len(names))
    peers = [f"--peer={n}=127.0.0.1:{port}" for n, port in zip(names, ports, strict=True)]
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                Running(
                    zreg_command(
                        "meta", f"--id={name}", "--port=0", "--pub-port=0", "--http-port=off",
                        f"--dir={directory / name}", *peers, "-o", "json",
                    )
                )
            )
            for name in names
        ]  # fmt: skip
        yield [json.loads(node.line())["address"] for node in nodes]


@contextmanager
def zreg(proposers: int) -> Iterator[Drive]:
    """Run three meta nodes; yield the function that writes to them."""
    with (
        tempfile.TemporaryDirectory() as directory,
        _zreg(Path(directory)) as addresses,
        zmq.Context() as context,
        closing(_leader(context, addresses)) as connection,
    ):
        yield Proposers(connection, proposers).run


def _leader(context: "zmq.Context[zmq.Socket[bytes]]", addresses: list[str]) -> "zmq.Socket[bytes]":
    """Return a connection to the leader."""
    header = Envelope("zreg").header(0)
    until = time.monotonic() + START_SECONDS_MAX
    for address in itertools.cycle(addresses):
        connection = context.socket(zmq.DEALER)
        connection.linger = 0
        connection.connect(f"tcp://{address}")
        connection.send_multipart([header, encode_frames([SetSetting(1, "bench", VALUE)])[0]])
        if connection.poll(2000):
            (answer,) = decode_frame(connection.recv_multipart()[-1])
            if not (isinstance(answer, Refused) and answer.code == NotLeaderError.code):
                return connection
        connection.close()
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    raise RuntimeError(f"none of {addresses} leads after {START_SECONDS_MAX} s")


# --- etcd -----------------------------------------------------------------------------------------


@contextmanager
def _etcd(directory: Path) -> Iterator[list[int]]:
    """Run three etcd nodes on loopback; yield their client ports, the leader's first."""
    ports = free_ports(6)
    clients, peers = ports[:3], ports[3:]
    names = [f"e{number}" for number in range(3)]
    initial = ",".join(f"{n}=http://127.0.0.1:{port}" for n, port in zip(names, peers, strict=True))
    with ExitStack() as stack:
        for name, client, peer in zip(names, clients, peers, strict=True):
            command = [
                "etcd", f"--name={name}", f"--data-dir={directory / name}",
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster={initial}", "--logger=zap", "--log-level=error",
            ]  # fmt: skip
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.terminate)
        yield _leader_first(clients)


def _leader_first(clients: list[int]) -> list[int]:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        found = {port: _status(port) for port in clients}
        leading = [port for port, status in found.items() if status and status[0] == status[1]]
        if leading and all(found.values()):
            return leading + [port for port in clients if port not in leading]
        time.sleep(0.05)
    raise RuntimeError("etcd did not elect a leader in twenty seconds")


def _status(port: int) -> tuple[str, str] | None:
    """Return the leader's id and the own id of a node, None if it does not answer yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_request("maintenance/status", {}))
            answer = json.loads(connection.recv(65536).partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return None
    return str(answer.get("leader")), str(answer["header"]["member_id"])


def _request(path: str, body: dict[str, str]) -> bytes:
    packed = json.dumps(body).encode()
    head = f"POST /v3/{path} HTTP/1.1\r\nHost: e\r\nContent-Length: {len(packed)}\r\n\r\n"
    return head.encode() + packed


@contextmanager
def etcd(proposers: int) -> Iterator[Drive]:
    """Run three etcd nodes; yield the function that writes to their leader."""
    with (
        tempfile.TemporaryDirectory() as directory,
        _etcd(Path(directory)) as ports,
        ExitStack() as stack,
    ):
        selector = stack.enter_context(selectors.DefaultSelector())
        for number in range(proposers):
            connection = socket.create_connection(("127.0.0.1", ports[0]))
            stack.enter_context(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, _put(number))
        yield partial(_drive, selector)


def _put(number: int) -> bytes:
    key = base64.b64encode(f"bench-{number}".encode()).decode()
    return _request("kv/put", {"key": key, "value": base64.b64encode(VALUE.encode()).decode()})


def _drive(selector: selectors.BaseSelector, seconds: float) -> list[float]:
    """Replace each committed write by a new one, then wait for the last; return the times."""
    latencies: list[float] = []
    sent_at: dict[object, float] = {}
    until = time.monotonic() + seconds
    for key in selector.get_map().values():
        _write(key, sent_at)
    while sent_at:
        for key, _ in selector.select(2):
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(65536).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("etcd refused a write")
            now = time.monotonic()
            latencies.append(now - sent_at.pop(key.fileobj))
            if now < until:
                _write(key, sent_at)
    return latencies


def _write(key: selectors.SelectorKey, sent_at: dict[object, float]) -> None:
    assert isinstance(key.fileobj, socket.socket)
    sent_at[key.fileobj] = time.monotonic()
    key.fileobj.sendall(key.data)


# --- both -----------------------------------------------------------------------------------------


def measure(sides: Sequence[Side], rounds: int, seconds: float, proposers: int) -> list[Commits]:
    """Measure all sides in turns, a burst each, so that other load on the machine hits all."""
    latencies: list[list[float]] = [[] for _ in sides]
    took = [0.0 for _ in sides]
    with ExitStack() as stack:
        drives = [stack.enter_context(side(proposers)) for side in sides]
        for drive in drives:
            drive(WARM_UP_SECONDS)
        for _ in range(rounds):
            for number, drive in enumerate(drives):
                started_at = time.monotonic()
                latencies[number] += drive(seconds)
                took[number] += time.monotonic() - started_at
    return [_summary(each, spent) for each, spent in zip(latencies, took, strict=True)]


def main() -> None:
    """Measure both sides in turns; print a JSON line for each number of proposers."""
    parser = argparse.ArgumentParser(description="Measure commits beside etcd.")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a burst")
    parser.add_argument("--rounds", type=int, default=10, help="number of bursts of each side")
    parser.add_argument("--proposers", type=int, nargs="+", default=PROPOSERS)
    options = parser.parse_args()
    sides: dict[str, Side] = {"zreg": zreg, "etcd": etcd}
    if shutil.which("etcd") is None:
        print(json.dumps({"etcd": "not installed: apt install etcd-server"}))
        del sides["etcd"]
    for proposers in options.proposers:
        found = measure(list(sides.values()), options.rounds, options.seconds, proposers)
        line = {side: commits._asdict() for side, commits in zip(sides, found, strict=True)}
        print(json.dumps({"proposers": proposers, **line}), flush=True)


if __name__ == "__main__":
    main()
