"""Programs that the process tests start, freeze and kill: `python workers.py ROLE URL …`.

Each prints one line when it is ready and then stays until its standard input is closed. `rewrite`
and `crowd` answer one line of input before.
"""

import asyncio
import json
import logging
import select
import sys
import threading
import time

import zreg

_REWRITE_SECONDS = 0.05
_REWRITES_MIN = 30


def publish(url: str, data_id: str, count: str, prefix: str) -> None:
    """Publish `prefix-0` … under one id; write a line when all are registered."""
    client = zreg.Client(url)
    publications = [client.publish(data_id, f"{prefix}-{n}") for n in range(int(count))]
    for publication in publications:
        publication.wait_registered(timeout_seconds=30)
    _say("ready")
    _stay(client)


def subscribe(url: str, data_id: str) -> None:
    """Subscribe to one id; write a line when its view is known."""
    client = zreg.Client(url)
    client.subscribe(data_id).wait_for(min_count=0, timeout_seconds=30)
    _say("ready")
    _stay(client)


def rewrite(url: str, id_count: str, publisher_count: str, copies_min: str, width: str) -> None:
    """Publish numbers that grow; on a line of input write what was accepted, as JSON.

    For each publisher id: its data id, and the highest number accepted with so many copies. Zeros
    fill each number up to the width. The process is ready when all publishers have some numbers.
    """
    client = zreg.Client(url)
    numbers = [0] * int(publisher_count)
    publications = [
        client.publish(f"counter-{n % int(id_count)}", "0") for n in range(len(numbers))
    ]
    accepted: dict[str, tuple[str, int]] = {}
    is_ready = False
    while not select.select([sys.stdin], [], [], _REWRITE_SECONDS)[0]:
        for n, publication in enumerate(publications):
            # Only this thread republishes: while it has copies, what it published last is accepted.
            copies = publication.copies
            if copies >= int(copies_min):
                data_id = publication.data_info_id.partition("#")[0]
                accepted[publication.publisher_id.hex()] = data_id, numbers[n]
            if copies:
                numbers[n] += 1
                publication.republish(str(numbers[n]).zfill(int(width)))
        if not is_ready and len(accepted) == len(numbers) and min(numbers) >= _REWRITES_MIN:
            is_ready = True
            _say("ready")
    sys.stdin.readline()
    _say(json.dumps(accepted))
    _stay(client)


def crowd(url: str, data_id: str, count: str, last: str) -> None:
    """Hold clients that follow one id, half of them inline; on a line of input write a report.

    The report comes when all have the last value, or after a minute: how many have it, how many are
    connected, and how many sessions were lost.
    """
    losses: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: losses.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("zreg.client").addHandler(handler)
    arrived = threading.Semaphore(0)

    def on_change(change: zreg.ViewChange) -> None:
        if change.view.values == (last,):
            arrived.release()

    clients = [zreg.Client(url) for _ in range(int(count))]
    subscriptions = [
        client.subscribe(data_id, on_change, inline=number % 2 == 0)
        for number, client in enumerate(clients)
    ]
    for subscription in subscriptions:
        subscription.wait_for(0, 60)
    _say("ready")
    sys.stdin.readline()
    deadline = time.monotonic() + 60
    report = {
        "arrived": sum(
            arrived.acquire(timeout=max(deadline - time.monotonic(), 0)) for _ in clients
        ),
        "connected": sum(client.state is zreg.ClientState.CONNECTED for client in clients),
        "lost": sum(line.startswith("client.session.lost") for line in losses),
    }
    _say(json.dumps(report))
    sys.stdin.read()
    for client in clients:
        client.close()


def beat(url: str, data_id: str, timeout_seconds: str) -> None:
    """Publish a value as long as the main loop beats; a line of input has it hang until the next.

    Only the main thread hangs: the client goes on to answer its session.
    """
    client = zreg.Client(url)
    heartbeat = client.heartbeat(float(timeout_seconds))
    client.publish(data_id, "beats", health=heartbeat).wait_registered(timeout_seconds=30)
    _say("ready")
    while True:
        while not select.select([sys.stdin], [], [], 0.05)[0]:
            heartbeat.beat()
        if not (sys.stdin.readline() and sys.stdin.readline()):
            break
    client.close()


def pick(url: str, data_id: str, cache_dir: str) -> None:
    """Pick an instance at once, and for each line of input; write both picks as JSON."""
    client = zreg.Client(url, cache_dir=cache_dir)
    service = client.service(data_id)
    first = _picked(service)
    _say("ready")
    while sys.stdin.readline():
        _say(json.dumps([first, _picked(service)]))
    client.close()


def pick_in_loop(url: str, data_id: str, cache_dir: str) -> None:
    """Do as `pick`, on an event loop, and never close the client."""

    async def run() -> None:
        client = zreg.AsyncClient(url, cache_dir=cache_dir)
        service = client.service(data_id)
        first = _picked(service)
        _say("ready")
        while await asyncio.to_thread(sys.stdin.readline):
            _say(json.dumps([first, _picked(service)]))

    asyncio.run(run())


def _picked(service: zreg.Service | zreg.AsyncService) -> tuple[str, bool, bool]:
    """Return what was picked, empty if there is none, and whether the view is cached and stale."""
    try:
        picked = service.pick().address
    except zreg.NoInstanceError:
        picked = ""
    return picked, service.view.is_cached, service.view.is_stale


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stay(client: zreg.Client) -> None:
    sys.stdin.read()
    client.close()


if __name__ == "__main__":
    roles = {
        "publish": publish,
        "subscribe": subscribe,
        "rewrite": rewrite,
        "crowd": crowd,
        "beat": beat,
        "pick": pick,
        "pick-in-loop": pick_in_loop,
    }
    roles[sys.argv[1]](*sys.argv[2:])
