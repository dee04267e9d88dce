"""The floor under zreg: a bare forwarder of three hops, with no registry in it.

Client processes -> ROUTER/DEALER in the middle -> ROUTER at the end, and an acknowledgement back
for each record. The records have the size of a real `Publish`. Each process reads and sends as the
reactor does: it drains its socket, then sends one message per peer. It does nothing else: no
decoding, no leases, no storing, no hashing. Read the speed of zreg as a share of this.

    python bench/floor.py --clients 8 --in-flight 64 --seconds 5
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zmq

from zreg.model import data_info_id
from zreg.wire.codec import encode_record
from zreg.wire.records.client_messages import Publish

BURST_MAX: Final = 256
WARM_UP_SECONDS: Final = 0.5
# A process of the floor outlives its benchmark by at most this.
SPARE_SECONDS: Final = 20.0
# Before each record: the client's number, by which the middle routes the acknowledgement.
TAG_BYTES: Final = 4

_PUBLISH: Final = Publish(
    request_id=1_000_000,
    publisher_id=b"0123456789abcdef",
    version=1,
    data_info_id=data_info_id("com.acme.pay.PayService"),
    body=b"10.120.37.114:12200?weight=100&zone=z1&app=pay&protocol=bolt",
)
RECORD: Final = bytes(encode_record(_PUBLISH))
RECORD_BYTES: Final = TAG_BYTES + len(RECORD)

Socket = zmq.Socket[bytes]


class FloorResult(msgspec.Struct, frozen=True):
    """The result of a run."""

    clients: int
    in_flight: int
    seconds: float
    records: int
    records_per_second: float
    records_per_message: float
    record_bytes: int


def run_floor(clients: int = 8, in_flight: int = 64, seconds: float = 5.0) -> FloorResult:
    """Run the middle, the end and the clients, each a process; return what the clients counted."""
    life_seconds = WARM_UP_SECONDS + seconds + SPARE_SECONDS
    with ExitStack() as processes:
        end = processes.enter_context(process_of(__file__, "end", life_seconds))
        middle = processes.enter_context(process_of(__file__, "middle", life_seconds, line_of(end)))
        figures = (str(in_flight), str(seconds))
        started = [
            processes.enter_context(
                process_of(__file__, "client", life_seconds, address, str(number), *figures)
            )
            for address, number in zip([line_of(middle)] * clients, range(clients), strict=True)
        ]
        counted = [_Counted(*map(float, _output(process, life_seconds))) for process in started]
    records = sum(client.records for client in counted)
    messages = sum(client.messages for client in counted)
    return FloorResult(
        clients=clients,
        in_flight=in_flight,
        seconds=seconds,
        records=int(records),
        records_per_second=round(sum(c.records / c.seconds for c in counted), 1),
        records_per_message=round(records / max(messages, 1), 1),
        record_bytes=len(RECORD),
    )


class _Counted(NamedTuple):
    """What one client process counted."""

    seconds: float
    records: float
    messages: float


def _output(process: subprocess.Popen[str], seconds_max: float) -> list[str]:
    out, _ = process.communicate(timeout=seconds_max)
    if process.returncode != 0:
        raise RuntimeError(f"a client of the floor ended with {process.returncode}")
    return out.split()


@contextmanager
def process_of(
    file: str, role: str, life_seconds: float, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """Run one role of a floor in its own process."""
    command = [sys.executable, file, "--role", role, "--life", str(life_seconds), *arguments]
    environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError("a process of the floor ended before it was ready")
    return line


def bind(socket: Socket) -> str:
    """Bind to a port that the kernel chooses, and return the address."""
    socket.linger = 0
    socket.bind("tcp://127.0.0.1:*")
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def _bound_router(context: zmq.Context[Socket]) -> Socket:
    socket = context.socket(zmq.ROUTER)
    print(bind(socket), flush=True)
    return socket


def dial(context: zmq.Context[Socket], address: str) -> Socket:
    """Return a DEALER that is connected to `address`."""
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(address)
    return socket


def _drain(socket: Socket) -> Iterator[list[bytes]]:
    """Yield the messages that have arrived, at most `BURST_MAX`."""
    for _ in range(BURST_MAX):
        try:
            yield socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return


def _run_end(context: zmq.Context[Socket], until: float) -> None:
    """Acknowledge each record by its tag, in one message per wake-up and peer."""
    socket = _bound_router(context)
    while time.monotonic() < until:
        socket.poll(1000)
        answers: dict[bytes, list[bytes]] = {}
        for peer, frame in _drain(socket):
            tags = answers.setdefault(peer, [])
            for start in range(0, len(frame), RECORD_BYTES):
                tags.append(frame[start : start + TAG_BYTES])
        for peer, tags in answers.items():
            socket.send_multipart([peer, b"".join(tags)])


def _run_middle(context: zmq.Context[Socket], until: float, address: str) -> None:
    """Forward records to the end, and acknowledgements to the clients."""
    back = dial(context, address)
    front = _bound_router(context)
    poller = zmq.Poller()
    poller.register(front, zmq.POLLIN)
    poller.register(back, zmq.POLLIN)
    peers: dict[bytes, bytes] = {}
    while time.monotonic() < until:
        poller.poll(1000)
        records: list[bytes] = []
        for peer, frame in _drain(front):
            peers[frame[:TAG_BYTES]] = peer
            records.append(frame)
        if records:
            back.send(b"".join(records))
        answers: dict[bytes, list[bytes]] = {}
        for (tags,) in _drain(back):
            for start in range(0, len(tags), TAG_BYTES):
                tag = tags[start : start + TAG_BYTES]
                answers.setdefault(tag, []).append(tag)
        for tag, several in answers.items():
            front.send_multipart([peers[tag], b"".join(several)])


class _Client:
    """Keeps a window of records in flight."""

    def __init__(
        self, context: zmq.Context[Socket], address: str, number: int, in_flight: int
    ) -> None:
        self.records = 0
        self.messages = 0
        self._socket = dial(context, address)
        self._record = number.to_bytes(TAG_BYTES) + RECORD
        self._socket.send(self._record * in_flight)

    def run_until(self, until: float) -> None:
        """Replace each acknowledged record by a new one."""
        while time.monotonic() < until:
            self._socket.poll(100)
            acknowledged = sum(len(tags) for (tags,) in _drain(self._socket)) // TAG_BYTES
            self.records += acknowledged
            self.messages += 1
            self._socket.send(self._record * acknowledged)


def _run_client(context: zmq.Context[Socket], address: str, figures: list[str]) -> None:
    number, in_flight, seconds = int(figures[0]), int(figures[1]), float(figures[2])
    client = _Client(context, address, number, in_flight)
    client.run_until(time.monotonic() + WARM_UP_SECONDS)
    records, messages = client.records, client.messages
    started_at = time.monotonic()
    client.run_until(started_at + seconds)
    elapsed = time.monotonic() - started_at
    print(elapsed, client.records - records, client.messages - messages)


def _run_role(role: str, life_seconds: float, rest: list[str]) -> None:
    until = time.monotonic() + life_seconds
    context: zmq.Context[Socket] = zmq.Context()
    try:
        if role == "end":
            _run_end(context, until)
        elif role == "middle":
            _run_middle(context, until, rest[0])
        else:
            _run_client(context, rest[0], rest[1:])
    finally:
        context.destroy(linger=0)


def main() -> None:
    """Run the floor and print its result as JSON; with `--role`, run one process of it."""
    parser = argparse.ArgumentParser(description="Measure the floor under zreg.")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--life", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        _run_role(options.role, options.life, options.rest)
    else:
        result = run_floor(options.clients, options.in_flight, options.seconds)
        print(json.dumps(msgspec.to_builtins(result)))


if __name__ == "__main__":
    main()
