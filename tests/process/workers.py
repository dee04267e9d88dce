"""Programs that the process tests start, freeze and kill: `python workers.py ROLE URL …`.

Each prints one line when it is ready and then stays until its standard input is closed.
"""

import sys

import zreg


def publish(url: str, data_id: str, count: str, prefix: str) -> None:
    """Publish `prefix-0` … under one id; write a line when all are registered."""
    client = zreg.Client(url)
    publications = [client.publish(data_id, f"{prefix}-{n}") for n in range(int(count))]
    for publication in publications:
        publication.wait_registered(timeout_seconds=30)
    _stay(client)


def subscribe(url: str, data_id: str) -> None:
    """Subscribe to one id; write a line when its view is known."""
    client = zreg.Client(url)
    client.subscribe(data_id).wait_for(min_count=0, timeout_seconds=30)
    _stay(client)


def _stay(client: zreg.Client) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    client.close()


if __name__ == "__main__":
    {"publish": publish, "subscribe": subscribe}[sys.argv[1]](*sys.argv[2:])
