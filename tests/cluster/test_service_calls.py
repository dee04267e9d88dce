"""Calls to the instances of a service, from threads and coroutines; what waits for them say."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from fake_session import CONFIG, FakeSession, run_program, wait_until

import zreg

HOSTS = ("a", "b", "c", "d")


@pytest.fixture
def service(client: zreg.Client) -> Iterator[zreg.Service]:
    for host in HOSTS:
        client.publish("orders", zreg.Endpoint(host, 1))
    with client.service("orders", policy=zreg.Policy.LEAST_IN_FLIGHT) as service:
        yield service.wait_up(len(HOSTS), timeout_seconds=5)


def test_coroutines_lease_side_by_side(service: zreg.Service) -> None:
    called: Counter[str | None] = Counter()

    async def call(are_all_in: asyncio.Event, count: int) -> None:
        with service.lease() as endpoint:
            called[endpoint.host] += 1
            if called.total() == count:
                are_all_in.set()
            await are_all_in.wait()

    async def call_all(count: int) -> None:
        are_all_in = asyncio.Event()
        await asyncio.gather(*(call(are_all_in, count) for _ in range(count)))

    asyncio.run(call_all(20))

    assert called == dict.fromkeys(HOSTS, 5)
    assert service.statistics()["in_flight"] == 0


def test_a_task_that_is_cancelled_is_no_failure(service: zreg.Service) -> None:
    async def give_up() -> None:
        with service.lease():
            await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(give_up())
        await asyncio.sleep(0)
        assert service.statistics()["in_flight"] == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError), service.lease():
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    asyncio.run(run())

    statistics = service.statistics()
    # The timeout inside of its lease is a failure.
    assert (statistics["in_flight"], statistics["failures"]) == (0, 1)


def test_threads_lease_and_report_while_instances_come_and_go(
    client: zreg.Client, service: zreg.Service
) -> None:
    errors: list[BaseException] = []

    def call(number: int) -> None:
        try:
            for count in range(300):
                with service.lease(tags=()), service.lease() as endpoint:
                    service.report(endpoint, ok=count % 5 != number, seconds=0.001)
        except BaseException as error:  # noqa: BLE001 -- the test's thread shows it
            errors.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with client.publish("orders", zreg.Endpoint("e", 1)) as mine:
            mine.wait_registered(5)
    for thread in threads:
        thread.join(10)

    assert errors == []
    statistics = service.statistics()
    # Each lease counts; a report only if its instance has not gone meanwhile.
    assert 4 * 300 * 2 <= int(statistics["calls"]) <= 4 * 300 * 3
    wait_until(lambda: service.statistics()["in_flight"] == 0)


@pytest.mark.parametrize(
    "wait",
    [
        lambda client: client.service("orders").wait_up(timeout_seconds=0.8),
        lambda client: client.subscribe("orders").wait_for(timeout_seconds=0.8),
    ],
)
def test_a_wait_that_runs_out_names_the_other_data_center(
    session: FakeSession, wait: Callable[[zreg.Client], object]
) -> None:
    session.core.heeds_scope = True
    with (
        zreg.Client(session.url, config=CONFIG, zone="z1", data_center="d1") as here,
        zreg.Client(session.url, config=CONFIG, zone="z2", data_center="d2") as there,
    ):
        there.publish("orders", "a:1").wait_registered(5)
        began = time.monotonic()

        with pytest.raises(
            zreg.TimeoutError,
            match="1 more outside of scope DATA_CENTER: 1 in data center 'd2', zone 'z2'; this "
            r"client is in data center 'd1': use scope=zreg.Scope.GLOBAL .* \(waited 0.8 s\)",
        ):
            wait(here)

        assert time.monotonic() - began >= 0.8
        with pytest.raises(zreg.TimeoutError, match="no program publishes this id"):
            here.service("other").wait_up(timeout_seconds=0.8)
        # The subscription that looked has ended.
        assert here.statistics()["subscriptions"] == 2
        here.service("orders", scope=zreg.Scope.GLOBAL).wait_up(timeout_seconds=5)


def test_a_wait_for_more_than_there_are_succeeds_also_while_it_looks_around(
    client: zreg.Client, session: FakeSession
) -> None:
    sub = client.subscribe("orders").wait_for(0, 5)

    def is_looking() -> bool:
        return any(scope is zreg.Scope.GLOBAL for _, _, scope in tuple(session.core.subscribers))

    def publish() -> None:
        wait_until(is_looking)
        client.publish("orders", "a:1")

    thread = threading.Thread(target=publish)
    thread.start()

    assert sub.wait_for(1, timeout_seconds=4) is sub
    thread.join(5)


def test_a_service_of_asyncio_chooses_and_waits_in_the_same_way(session: FakeSession) -> None:
    session.core.heeds_scope = True

    async def run() -> None:
        async with (
            zreg.AsyncClient(session.url, config=CONFIG, zone="z1", data_center="d1") as here,
            zreg.AsyncClient(session.url, config=CONFIG, zone="z2", data_center="d2") as there,
        ):
            await there.publish("orders", "a:1?version=2").wait_registered(5)
            service = here.service("orders", policy=zreg.Policy.TWO_CHOICES, version="2")
            with pytest.raises(zreg.TimeoutError, match=r"1 in data center 'd2'.*waited 0.8 s"):
                await service.wait_up(timeout_seconds=0.8)
            assert here.statistics()["subscriptions"] == 1

            wide = here.service("orders", scope=zreg.Scope.GLOBAL)
            await wide.wait_up(timeout_seconds=5)
            with wide.lease("key", version="2") as endpoint:
                assert endpoint.address == "a:1"
            with pytest.raises(zreg.UsageError, match="policy 3 cannot be used"):
                here.service("orders", policy=3)  # type: ignore[arg-type]

    asyncio.run(run())


def test_a_forked_child_picks_although_a_thread_of_the_parent_held_the_lock(
    client: zreg.Client, session: FakeSession
) -> None:
    client.publish("orders", "a:1").wait_registered(5)
    program = """
import os, sys, threading, warnings, zreg
warnings.simplefilter("ignore")
client = zreg.Client(sys.argv[1], cluster="test")
service = client.service("orders").wait_up(timeout_seconds=5)
is_held, is_over = threading.Event(), threading.Event()
def hold():
    with service._lock:
        is_held.set()
        is_over.wait(10)
threading.Thread(target=hold).start()
is_held.wait(5)
child = os.fork()
if child == 0:
    print(service.pick(), service.statistics()["in_flight"], flush=True)
    os._exit(0)
os.waitpid(child, 0)
is_over.set()
client.close()
"""
    done, _ = run_program(program, session.url)

    assert (done.stdout, done.stderr) == ("a:1 0\n", "")


def test_options_are_checked_before_anything_is_followed(client: zreg.Client) -> None:
    with pytest.raises(zreg.UsageError, match="policy 'fast' cannot be used"):
        client.service("orders", policy="fast")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="speed"):
        client.service("orders", speed=3)  # type: ignore[call-arg]

    assert client.statistics()["subscriptions"] == 0


def test_the_own_zone_first_is_refused_by_a_client_that_has_none(session: FakeSession) -> None:
    """Otherwise it would prefer no instance, and the program would not learn that."""
    with zreg.Client(session.url, config=CONFIG) as client:
        with pytest.raises(zreg.UsageError, match="give the client zone=, or set ZREG_ZONE"):
            client.service("orders", zone_first=True)
        assert client.statistics()["subscriptions"] == 0
    with zreg.Client(session.url, config=CONFIG, zone="z1") as client:
        client.service("orders", zone_first=True)

    async def on_a_loop() -> None:
        async with zreg.AsyncClient(session.url, config=CONFIG) as client:
            with pytest.raises(zreg.UsageError, match="zone_first=True"):
                client.service("orders", zone_first=True)

    asyncio.run(on_a_loop())
