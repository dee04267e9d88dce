"""What HTTP costs a session: publishing beside 1,000 requests a second, and one page of many.

python bench/http_pages.py                           both, as JSON lines
python bench/http_pages.py --rate 1000 --seconds 5   publishing with and without the requests
python bench/http_pages.py --instances 100000        processor time of one page, by its length
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

import zreg
from zreg.data.followers.follower_answers import listed_datums
from zreg.data.store.datum_store import DatumStore
from zreg.http.catalogue.shapes import shown_instance
from zreg.http.responses import answer
from zreg.model import Incarnation, Publisher, data_info_id
from zreg.session.pages.page_datums import page_of
from zreg.session.pages.page_questions import ReadService
from zreg.testing.processes import RunningCluster
from zreg.wire.body import pack_body
from zreg.wire.records.data_messages import ListDatums

VALUE: Final = "10.120.37.114:12200?weight=100&zone=z1&app=pay"
IN_FLIGHT: Final = 64
INSTANCES_SHOWN: Final = 25
PATH: Final = "/v1/services/shown"


# --- one page -------------------------------------------------------------------------------------


def publisher(number: int) -> Publisher:
    """Return one of many publishers."""
    body = pack_body([VALUE], attributes={}, registered_at=1.0)
    session = Incarnation(1, "s1")
    name = number.to_bytes(16)
    return Publisher(name, 1, name, session, "z1", "dc1", "app", body)


def milliseconds(act: Callable[[], object]) -> float:
    """Return the processor time of a call, the median of seven."""
    spans = []
    for _ in range(7):
        began_at = time.process_time()
        act()
        spans.append(time.process_time() - began_at)
    return round(statistics.median(spans) * 1000, 2)


def measure_pages(instances: int) -> dict[str, float]:
    """Return what pages of 100 and 1,000 lines cost, with so many instances and ids."""
    content = {each.publisher_id: each for each in map(publisher, range(instances))}
    store = DatumStore(zreg.Config())
    for number in range(instances):
        store.put(data_info_id(f"com.acme.Service{number}"), publisher(number))
    figures: dict[str, float] = {"instances": instances}
    for limit in (100, 1000):
        question = ReadService(data_info_id("pay"), (instances // 2).to_bytes(16), limit)
        listing = ListDatums(1, "com.acme.*#@#*#@#*", "", limit)
        page, _ = page_of(content, question)

        def find(question: ReadService = question) -> object:
            return page_of(content, question)

        def show(page: tuple[Publisher, ...] = page) -> object:
            return answer(list(map(shown_instance, page)))

        def list_ids(listing: ListDatums = listing) -> object:
            return listed_datums(store, listing)

        figures[f"service_{limit}_find_ms"] = milliseconds(find)
        figures[f"service_{limit}_show_ms"] = milliseconds(show)
        figures[f"services_{limit}_at_data_node_ms"] = milliseconds(list_ids)
    return figures


# --- publishing beside requests -------------------------------------------------------------------


def publish(url: str, ready: Event, stop: Event, accepted: "multiprocessing.Queue[float]") -> None:
    """Publish with a number in flight until told to stop; then say how many were accepted a second.

    `ready` is set first, and cleared by the caller when the count begins.
    """
    with zreg.Client(url) as client:
        publications = [client.publish(f"bench-{n}", VALUE) for n in range(IN_FLIGHT)]
        for each in publications:
            each.wait_registered()
        ready.set()
        began_at, done = time.monotonic(), 0
        for number in count():
            if stop.is_set():
                break
            each = publications[number % IN_FLIGHT]
            each.wait_registered()
            each.republish(f"{VALUE}&n={number}")
            done += 1
        accepted.put(done / (time.monotonic() - began_at))


async def ask(port: int, rate: float, seconds: float) -> tuple[float, float]:
    """Ask for pages at a rate; return how many a second were answered, and the median wait."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    waits: list[float] = []
    places = asyncio.Semaphore(32)

    async def one() -> None:
        async with places:
            began_at = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            text = await reader.read()
            writer.close()
            if b" 200 OK" in text[:20]:
                waits.append(time.monotonic() - began_at)

    began_at = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            group.create_task(one())
            await asyncio.sleep(max(0.0, began_at + number / rate - time.monotonic()))
    return len(waits) / (time.monotonic() - began_at), statistics.median(waits or [0.0])


def measure_publishing(rate: float, seconds: float) -> dict[str, float]:
    """Return publishes a second, alone and beside requests."""
    with tempfile.TemporaryDirectory() as directory, RunningCluster(Path(directory)) as cluster:
        port = int(cluster.http_url("session-1", "/").split(":")[2].split("/")[0])
        with zreg.Client(cluster.url) as client:
            shown = [client.publish("shown", f"10.0.0.{n}:80") for n in range(INSTANCES_SHOWN)]
            for each in shown:
                each.wait_registered()
            alone = publishes_during(cluster.url, lambda: time.sleep(seconds))
            asked: list[tuple[float, float]] = []
            beside = publishes_during(
                cluster.url, lambda: asked.append(asyncio.run(ask(port, rate, seconds)))
            )
    answered, wait = asked[0]
    return {
        "publishes_alone": round(alone),
        "publishes_beside": round(beside),
        "requests_answered": round(answered),
        "request_p50_ms": round(wait * 1000, 2),
    }


def publishes_during(url: str, act: Callable[[], object]) -> float:
    """Return how many publishes a second one client has accepted meanwhile."""
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    accepted: multiprocessing.Queue[float] = multiprocessing.Queue()
    child = multiprocessing.Process(target=publish, args=(url, ready, stop, accepted))
    child.start()
    ready.wait()
    act()
    stop.set()
    figure = accepted.get()
    child.join()
    return figure


def main() -> None:
    """Measure, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=1000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5, help="how long each span takes")
    parser.add_argument("--instances", type=int, default=100_000, help="of one service; and ids")
    parser.add_argument("--only", choices=("pages", "publishing"), help="one of the two")
    options = parser.parse_args()
    if options.only != "publishing":
        print(json.dumps(measure_pages(options.instances)), flush=True)
    if options.only != "pages":
        print(json.dumps(measure_publishing(options.rate, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
