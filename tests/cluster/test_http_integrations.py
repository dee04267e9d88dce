"""httpx, requests and aiohttp call services by name, while instances and the session die."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from fake_session import FakeSession, run_program, wait_until
from http_callers import CALLERS, AsyncHttpxCaller, Caller, HttpxCaller, RequestsCaller
from http_instances import HttpInstance

import zreg
from zreg.integrations.httpx import AsyncTransport, Transport

ORDERS = "http://orders.zreg/"
NAMES = ("a", "b", "c")
Make = Callable[..., Caller]


@pytest.fixture
def instances() -> Iterator[dict[str, HttpInstance]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(HttpInstance(name)) for name in NAMES}


@pytest.fixture(params=CALLERS, ids=lambda kind: kind.__name__.removesuffix("Caller"))
def make(
    request: pytest.FixtureRequest,
    session: FakeSession,
    client: zreg.Client,
    instances: dict[str, HttpInstance],
) -> Iterator[Make]:
    for instance in instances.values():
        client.publish("orders", instance.endpoint).wait_registered(5)
    with ExitStack() as stack:

        def make(**options: Any) -> Caller:
            caller: Caller = request.param(session.url, **options)
            stack.callback(caller.close)
            return caller

        yield make


@pytest.fixture
def caller(make: Make) -> Caller:
    return make()


def seen(instances: dict[str, HttpInstance]) -> list[str]:
    return [each for instance in instances.values() for each in instance.seen]


def test_calls_are_spread_and_the_instances_are_told_the_name_of_the_service(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    called = Counter(caller.get(f"{ORDERS}v1/order?id=7") for _ in range(9))

    assert called == {f"{name}/v1/order?id=7": 3 for name in NAMES}
    assert set(seen(instances)) == {"GET /v1/order?id=7 to orders.zreg"}
    statistics = caller.service().statistics()
    assert (statistics["calls"], statistics["failures"], statistics["in_flight"]) == (9, 0, 0)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_no_call_fails_when_an_instance_is_dead(
    caller: Caller, instances: dict[str, HttpInstance], *, is_streamed: bool
) -> None:
    caller.get()
    instances["a"].kill()
    answers = Counter[str]()
    for _ in range(12):
        # The request reaches no dead instance, so it may have any method and any body.
        body = caller.body(b"or", b"der") if is_streamed else b"order"
        answers[caller.call("POST", ORDERS, body).text] += 1

    assert set(answers) == {"b/", "c/"}
    assert answers.total() == 12
    assert instances["b"].seen[-1] == "POST / order to orders.zreg"
    statistics = caller.service().statistics()
    assert (statistics["ejected"], statistics["failures"], statistics["in_flight"]) == (1, 1, 0)


def test_calls_go_on_when_the_session_and_then_an_instance_die(
    caller: Caller, session: FakeSession, instances: dict[str, HttpInstance]
) -> None:
    caller.get()
    session.stop()
    wait_until(lambda: caller._client.state is not zreg.ClientState.CONNECTED)
    instances["b"].kill()

    assert {caller.get() for _ in range(9)} == {"a/", "c/"}


def test_a_request_that_was_sent_is_repeated_only_if_its_method_is_idempotent(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    for name in ("a", "b"):
        instances[name].hangs_up = True
    assert {caller.get() for _ in range(3)} == {"c/"}
    for instance in instances.values():
        instance.seen.clear()
        instance.hangs_up = True

    with pytest.raises(caller.error):
        caller.call("POST", ORDERS, b"order")
    assert seen(instances) == ["POST / order to orders.zreg"]


def test_an_instance_that_hangs_costs_its_timeout_once(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    instances["a"].goes_on.clear()

    answers = [caller.call("GET", ORDERS, seconds=0.3).text for _ in range(6)]

    assert set(answers) == {"b/", "c/"}
    assert len(instances["a"].seen) == 1


def test_a_body_that_is_consumed_is_not_sent_again(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    for instance in instances.values():
        instance.hangs_up = True

    with pytest.raises(caller.error):
        caller.call("PUT", ORDERS, caller.body(b"or", b"der"))
    assert seen(instances) == ["PUT / order to orders.zreg"]


def test_an_instance_that_cannot_serve_is_set_aside(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    for instance in instances.values():
        instance.status = 503
    assert caller.call("POST", ORDERS, b"order").status == 503
    assert len(seen(instances)) == 1
    assert caller.call("GET", ORDERS).status == 503
    assert len(seen(instances)) == 4

    instances["c"].status = 200
    assert {caller.get() for _ in range(3)} == {"c/"}


def test_retries_bound_how_many_instances_are_tried(
    make: Make, instances: dict[str, HttpInstance]
) -> None:
    caller = make(retries=0)
    for instance in instances.values():
        instance.status = 503

    assert caller.call("GET", ORDERS).status == 503
    assert len(seen(instances)) == 1


def test_a_call_is_under_way_until_its_answer_is_closed(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    for instance in instances.values():
        instance.padding = 1 << 22
    close = caller.open(ORDERS)
    statistics = caller.service().statistics()
    assert (statistics["calls"], statistics["in_flight"]) == (1, 1)

    close()

    statistics = caller.service().statistics()
    assert (statistics["calls"], statistics["in_flight"]) == (1, 0)


def test_an_answer_that_breaks_off_is_a_failure(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    for instance in instances.values():
        instance.breaks_off = True

    with pytest.raises(caller.error):
        caller.call("GET", ORDERS)

    wait_until(lambda: caller.service().statistics()["ejected"] == 1)
    assert caller.service().statistics()["in_flight"] == 0


def test_a_redirect_goes_to_the_service_again(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    for instance in instances.values():
        instance.location = "/next"

    assert caller.get().endswith("/next")
    instances["a"].location = "http://orders.zreg/other"
    assert {caller.get()[1:] for _ in range(3)} == {"/", "/other"}


def test_other_hosts_are_called_as_they_are(
    caller: Caller, instances: dict[str, HttpInstance]
) -> None:
    address = instances["a"].endpoint.address

    assert caller.get(f"http://{address}/path") == "a/path"
    assert instances["a"].seen == [f"GET /path to {address}"]


def test_without_an_instance_the_error_is_the_one_of_the_library(make: Make) -> None:
    caller = make(wait_seconds=0.2)

    with pytest.raises(caller.error, match="0 of 1 instances are there"):
        caller.get("http://pay.zreg/")
    # Now it is known that there is none, so the call does not wait again.
    with pytest.raises(caller.error, match="no instance of pay"):
        caller.get("http://pay.zreg/")


def test_options_choose_the_instance_and_what_it_is_told(
    make: Make, instances: dict[str, HttpInstance]
) -> None:
    caller = make(key=lambda _: "customer 7", keep_host=False, suffix=".service")

    answers = {caller.get("http://orders.service/") for _ in range(6)}

    assert len(answers) == 1
    instance = instances[answers.pop()[0]]
    assert set(instance.seen) == {f"GET / to {instance.endpoint.address}"}


def test_a_slow_instance_gets_fewer_calls(make: Make, instances: dict[str, HttpInstance]) -> None:
    caller = make(policy=zreg.Policy.LEAST_IN_FLIGHT, where=lambda _: True)
    instances["a"].padding = instances["b"].padding = instances["c"].padding = 1 << 22
    closers = [caller.open(ORDERS) for _ in range(2)]
    busy = {name for name in NAMES if instances[name].seen}

    assert len(busy) == 2
    assert {caller.get()[0] for _ in range(3)}.isdisjoint(busy)
    for close in closers:
        close()


@pytest.mark.parametrize("kind", [HttpxCaller, RequestsCaller])
def test_the_scheme_of_zreg_names_a_service_as_well(
    kind: type[Caller], session: FakeSession, client: zreg.Client, instances: dict[str, Any]
) -> None:
    client.publish("orders", instances["a"].endpoint).wait_registered(5)
    caller = kind(session.url)
    try:
        assert caller.get("zreg://orders/v1") == "a/v1"
    finally:
        caller.close()


def test_options_and_clients_that_cannot_be_used_are_refused(client: zreg.Client) -> None:
    with pytest.raises(zreg.UsageError, match="suffix 'zreg' cannot be used"):
        Transport(client, suffix="zreg")
    with pytest.raises(zreg.UsageError, match="retries -1 cannot be used"):
        Transport(client, retries=-1)
    with pytest.raises(zreg.UsageError, match=r"give a zreg.AsyncClient"):
        AsyncTransport(client)  # type: ignore[arg-type]
    with (
        pytest.raises(zreg.UsageError, match="policy 'fast' cannot be used"),
        httpx.Client(transport=Transport(client, policy="fast")) as http,  # type: ignore[arg-type]
    ):
        http.get(ORDERS)


def test_a_forked_worker_calls_with_what_its_parent_has_made(
    session: FakeSession, client: zreg.Client, instances: dict[str, HttpInstance]
) -> None:
    for instance in instances.values():
        client.publish("orders", instance.endpoint).wait_registered(5)
    program = """
import os, sys, warnings, requests, zreg
from zreg.integrations.requests import Adapter
warnings.simplefilter("ignore")
client = zreg.Client(sys.argv[1], cluster="test")
session = requests.Session()
session.mount("http://", Adapter(client))
def call():
    names = {session.get("http://orders.zreg/").text for _ in range(9)}
    print(sorted(names), client.service("orders").wait_up(3, 5) is not None, flush=True)
call()
if (child := os.fork()) == 0:
    call()
    os._exit(0)
os.waitpid(child, 0)
client.close()
"""
    done, _ = run_program(program, session.url)

    assert done.stdout.splitlines() == ["['a/', 'b/', 'c/'] True"] * 2, done.stderr


def test_an_answer_that_is_dropped_is_not_under_way_for_ever(
    session: FakeSession, client: zreg.Client, instances: dict[str, HttpInstance]
) -> None:
    client.publish("orders", instances["a"].endpoint).wait_registered(5)
    caller = HttpxCaller(session.url)
    try:
        caller.open(ORDERS)
        gc.collect()
        assert caller.service().statistics()["in_flight"] == 0
    finally:
        caller.close()


def test_a_call_that_is_cancelled_is_no_failure(
    session: FakeSession, client: zreg.Client, instances: dict[str, HttpInstance]
) -> None:
    client.publish("orders", instances["a"].endpoint).wait_registered(5)
    caller = AsyncHttpxCaller(session.url)
    try:
        caller.get()
        instances["a"].goes_on.clear()

        async def call_and_give_up() -> None:
            task = asyncio.create_task(caller._http.get(ORDERS))
            await asyncio.to_thread(wait_until, lambda: len(instances["a"].seen) == 2)
            assert caller.service().statistics()["in_flight"] == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        caller._run(call_and_give_up)
        statistics = caller.service().statistics()
        assert (statistics["in_flight"], statistics["failures"]) == (0, 0)
    finally:
        caller.close()
