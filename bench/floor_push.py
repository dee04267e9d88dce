"""The floor under a push: the same five hops over bare sockets.

Publisher -> middle -> end, which answers and broadcasts on PUB -> both middles -> their
subscribers; each is a process. No process decodes or stores a record, acknowledges a push or keeps
a lease. Read the latency of zreg beside this.

    python bench/floor_push.py --subscribers 10 --rounds 500
"""

import argparse
import json
import statistics
import subprocess
import time
from contextlib import ExitStack
from typing import Final, NamedTuple

import zmq
from floor import RECORD, Socket, bind, dial, line_of, process_of

PAUSE_SECONDS: Final = 0.005
_STAMP_BYTES: Final = 8
_HELLO: Final = b"hello"
_END: Final = b"end"


class PushFloor(NamedTuple):
    """Milliseconds from before the publish to the arrival at a subscriber."""

    p50_ms: float
    p99_ms: float


def run_floor_push(subscribers: int = 10, rounds: int = 500) -> PushFloor:
    """Run all processes and return the latencies at the subscribers."""
    life = 60.0 + rounds * 0.05
    with ExitStack() as stack:
        end = stack.enter_context(process_of(__file__, "end", life))
        requests, changes = line_of(end).split()
        middles = [
            stack.enter_context(process_of(__file__, "middle", life, requests, changes))
            for _ in range(2)
        ]
        addresses = [line_of(middle) for middle in middles]
        listening = [
            stack.enter_context(process_of(__file__, "subscriber", life, addresses[number % 2]))
            for number in range(subscribers)
        ]
        for process in listening:
            assert line_of(process) == "ready"
        _publish(addresses[0], rounds)
        seen = [float(word) for process in listening for word in _words(process)]
    cuts = statistics.quantiles(seen, n=100)
    return PushFloor(cuts[49], cuts[98])


def _words(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=30)
    return out.split()


def _publish(address: str, rounds: int) -> None:
    context: zmq.Context[Socket] = zmq.Context()
    socket = dial(context, address)
    for _ in range(rounds):
        socket.send(_now() + RECORD)
        socket.recv()
        time.sleep(PAUSE_SECONDS)
    socket.send(_END)
    socket.recv()
    context.destroy(linger=0)


def _now() -> bytes:
    return time.monotonic_ns().to_bytes(_STAMP_BYTES)


def run_end(context: zmq.Context[Socket], until: float) -> None:
    """Broadcast every record, and answer it."""
    socket, announce = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    print(bind(socket), bind(announce), flush=True)
    while time.monotonic() < until:
        if socket.poll(1000):
            back, front, record = socket.recv_multipart()
            announce.send(record)
            socket.send_multipart([back, front, b"ok"])


def run_middle(context: zmq.Context[Socket], until: float, requests: str, changes: str) -> None:
    """Forward records and their answers; send each broadcast to every subscriber."""
    front, back = context.socket(zmq.ROUTER), dial(context, requests)
    changes_in = context.socket(zmq.SUB)
    changes_in.connect(changes)
    changes_in.subscribe(b"")
    print(bind(front), flush=True)
    poller = zmq.Poller()
    for socket in (front, back, changes_in):
        poller.register(socket, zmq.POLLIN)
    subscribers: list[bytes] = []
    while time.monotonic() < until:
        ready = dict(poller.poll(1000))
        if front in ready:
            peer, record = front.recv_multipart()
            if record == _HELLO:
                subscribers.append(peer)
                front.send_multipart([peer, _HELLO])
            else:
                back.send_multipart([peer, record])
        if back in ready:
            front.send_multipart(back.recv_multipart())
        if changes_in in ready:
            record = changes_in.recv()
            for peer in subscribers:
                front.send_multipart([peer, record])


def run_subscriber(context: zmq.Context[Socket], address: str) -> None:
    """Print the latency of each record in milliseconds after the last one."""
    socket = dial(context, address)
    socket.send(_HELLO)
    socket.recv()
    print("ready", flush=True)
    latencies: list[float] = []
    while (record := socket.recv()) != _END:
        sent_at = int.from_bytes(record[:_STAMP_BYTES])
        latencies.append((time.monotonic_ns() - sent_at) / 1e6)
    print(*latencies, sep="\n")


def main() -> None:
    """Run the floor and print its result as JSON; with `--role`, run one process of it."""
    parser = argparse.ArgumentParser(description="Measure the floor under a push.")
    parser.add_argument("--subscribers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--life", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.role:
        print(json.dumps(run_floor_push(options.subscribers, options.rounds)._asdict()))
        return
    until = time.monotonic() + options.life
    context: zmq.Context[Socket] = zmq.Context()
    try:
        if options.role == "end":
            run_end(context, until)
        elif options.role == "middle":
            run_middle(context, until, *options.rest)
        else:
            run_subscriber(context, *options.rest)
    finally:
        context.destroy(linger=0)


if __name__ == "__main__":
    main()
