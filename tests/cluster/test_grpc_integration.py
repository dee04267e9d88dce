"""gRPC calls services by name, while instances and the session die; on threads and on a loop."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from asyncio_face import LoopOfTheProgram
from fake_session import CONFIG, FakeSession, wait_until
from grpc_instances import CHAT, CREATE, GET, UPLOAD, WATCH, GrpcInstance

import zreg
from zreg.integrations.grpc import channel
from zreg.integrations.grpc.balanced_calls import NoInstanceRpcError
from zreg.integrations.grpc.loop_channel import AsyncChannel
from zreg.integrations.grpc.subchannels import Subchannels
from zreg.integrations.grpc.thread_channel import ThreadChannel

NAMES = ("a", "b", "c")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class ThreadFace:
    """A channel for threads."""

    channel: Any

    def __init__(self, url: str, data_id: str = "orders", **options: Any) -> None:
        self.client = zreg.Client(url, config=CONFIG)
        self.channel = channel(self.client, data_id, **options)

    def call(self, method: str = GET, request: bytes = b"7", **named: Any) -> str:
        named.setdefault("timeout", 10)
        return str(self.channel.unary_unary(method)(request, **named).decode())

    def watch(self) -> tuple[Callable[[], str], Callable[[], None]]:
        """Begin a stream; return what reads the next part, and what cancels it."""
        call = self.channel.unary_stream(WATCH)(b"7", timeout=10)
        return lambda: next(call).decode(), call.cancel

    def upload(self, *parts: bytes) -> str:
        return str(self.channel.stream_unary(UPLOAD)(iter(parts), timeout=10).decode())

    def chat(self, *parts: bytes) -> list[str]:
        call = self.channel.stream_stream(CHAT)(iter(parts), timeout=10)
        return [part.decode() for part in call]

    def statistics(self) -> Any:
        return self.channel.calls.service.statistics()

    def close(self) -> None:
        self.channel.close()
        self.client.close()


class LoopFace(ThreadFace):
    """A channel for asyncio, on a loop on a thread of its own."""

    def __init__(self, url: str, data_id: str = "orders", **options: Any) -> None:
        self._program = LoopOfTheProgram()

        async def begin() -> None:
            self.client = zreg.AsyncClient(url, config=CONFIG)  # type: ignore[assignment]
            self.channel = await channel(self.client, data_id, **options).__aenter__()  # type: ignore[attr-defined]

        self._program.call(begin)

    def call(self, method: str = GET, request: bytes = b"7", **named: Any) -> str:
        named.setdefault("timeout", 10)

        async def call() -> str:
            answer = await self.channel.unary_unary(method)(request, **named)
            return str(answer.decode())

        return str(self._program.call(call))

    def watch(self) -> tuple[Callable[[], str], Callable[[], None]]:
        async def begin() -> Any:
            return self.channel.unary_stream(WATCH)(b"7", timeout=10)

        call = self._program.call(begin)

        async def read() -> str:
            return str((await call.read()).decode())

        return lambda: str(self._program.call(read)), lambda: self._program.call(call.cancel)

    def upload(self, *parts: bytes) -> str:
        async def call() -> str:
            return str((await self.channel.stream_unary(UPLOAD)(iter(parts), timeout=10)).decode())

        return str(self._program.call(call))

    def chat(self, *parts: bytes) -> list[str]:
        async def call() -> list[str]:
            answers = self.channel.stream_stream(CHAT)(iter(parts), timeout=10)
            return [part.decode() async for part in answers]

        found: list[str] = self._program.call(call)
        return found

    def close(self) -> None:
        self._program.call(self.channel.close)
        self._program.call(self.client.close)
        self._program.end()


Make = Callable[..., ThreadFace]


@pytest.fixture
def instances(client: zreg.Client) -> Iterator[dict[str, GrpcInstance]]:
    with ExitStack() as stack:
        instances = {name: stack.enter_context(GrpcInstance(name)) for name in NAMES}
        for name, instance in instances.items():
            client.publish("orders", instance.endpoint, attributes={"name": name})
        client.service("orders").wait_up(3, timeout_seconds=5)
        yield instances


@pytest.fixture(params=[ThreadFace, LoopFace], ids=["threads", "asyncio"])
def make(
    request: pytest.FixtureRequest, session: FakeSession, instances: dict[str, GrpcInstance]
) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> ThreadFace:
            face: ThreadFace = request.param(session.url, *arguments, **options)
            stack.callback(face.close)
            return face

        yield make


@pytest.fixture
def face(make: Make) -> ThreadFace:
    return make()


def seen(instances: dict[str, GrpcInstance]) -> list[str]:
    return [each for instance in instances.values() for each in instance.seen]


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code()


def test_calls_of_all_kinds_are_spread(face: ThreadFace) -> None:
    assert Counter(face.call() for _ in range(6)) == {"a": 2, "b": 2, "c": 2}
    assert {face.upload(b"1", b"2") for _ in range(3)} == set(NAMES)
    assert {tuple(face.chat(b"1")) for _ in range(3)} == {(name, "end") for name in NAMES}
    read, _ = face.watch()
    assert (read() in NAMES, read()) == (True, "end")
    wait_until(lambda: face.statistics()["in_flight"] == 0)
    assert face.statistics()["failures"] == 0


def test_no_call_fails_when_an_instance_is_dead(
    face: ThreadFace, instances: dict[str, GrpcInstance]
) -> None:
    instances["a"].kill()

    # The first call to it finds that nothing listens: the request was not sent.
    assert {face.call(CREATE) for _ in range(9)} == {"b", "c"}
    assert (face.statistics()["ejected"], face.statistics()["in_flight"]) == (1, 0)


def test_calls_go_on_when_the_session_and_then_an_instance_die(
    face: ThreadFace, session: FakeSession, instances: dict[str, GrpcInstance]
) -> None:
    face.call()
    session.stop()
    wait_until(lambda: face.client.state is not zreg.ClientState.CONNECTED)
    instances["b"].kill()

    assert {face.call(CREATE) for _ in range(9)} == {"a", "c"}


def test_a_request_that_was_sent_is_repeated_only_if_its_method_is_idempotent(
    make: Make, instances: dict[str, GrpcInstance]
) -> None:
    face = make(idempotent_methods=[GET])
    for instance in instances.values():
        instance.fails_with = UNAVAILABLE

    assert code_of(lambda: face.call(CREATE)) is UNAVAILABLE
    assert seen(instances) == ["C 7"]
    assert code_of(lambda: face.call(GET)) is UNAVAILABLE
    assert seen(instances).count("G 7") == 3
    instances["c"].fails_with = None
    assert {face.call(GET) for _ in range(4)} == {"c"}


def test_other_codes_are_answers(make: Make, instances: dict[str, GrpcInstance]) -> None:
    face = make(idempotent_methods=[GET])
    for instance in instances.values():
        instance.fails_with = grpc.StatusCode.NOT_FOUND

    assert code_of(face.call) is grpc.StatusCode.NOT_FOUND
    assert (face.statistics()["calls"], face.statistics()["failures"]) == (1, 0)


def test_the_attempts_share_the_time_of_the_call(
    make: Make, instances: dict[str, GrpcInstance]
) -> None:
    face = make(idempotent_methods=[GET])
    for instance in instances.values():
        instance.goes_on.clear()

    assert code_of(lambda: face.call(timeout=0.3)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(seen(instances)) == 1
    assert face.statistics()["failures"] == 1
    for instance in instances.values():
        instance.goes_on.set()


def test_the_channel_of_an_instance_that_left_is_closed_after_its_calls(
    make: Make, session: FakeSession, client: zreg.Client, instances: dict[str, GrpcInstance]
) -> None:
    pub = client.publish("pay", instances["a"].endpoint)
    face = make("pay")
    assert face.call() == "a"
    instances["a"].goes_on.clear()
    read, _ = face.watch()

    pub.unpublish()
    wait_until(lambda: face.statistics()["instances"] == 0)
    assert len(face.channel.subchannels) == 1
    instances["a"].goes_on.set()
    assert (read(), read()) == ("a", "end")

    wait_until(lambda: len(face.channel.subchannels) == 0)
    assert code_of(face.call) is UNAVAILABLE


def test_channels_are_closed_when_their_instance_has_left_and_their_calls_have_ended() -> None:
    closed: list[str] = []
    subchannels = Subchannels(str.upper, closed.append)
    first, second, other = (subchannels.take(address) for address in ("a", "a", "b"))
    assert first is second
    subchannels.give_back(other)

    subchannels.keep({"c"})
    assert (closed, len(subchannels)) == (["B"], 1)
    subchannels.give_back(first)
    assert closed == ["B"]
    subchannels.give_back(second)
    assert (closed, len(subchannels)) == (["B", "A"], 0)

    # Picked before the view changed, and called after it.
    subchannels.give_back(subchannels.take("a"))
    assert closed == ["B", "A", "A"]
    subchannels.give_back(subchannels.take("c"))
    subchannels.take("d")
    subchannels.close()
    assert (sorted(closed), len(subchannels)) == (["A", "A", "B", "C", "D"], 0)


def test_a_stream_is_under_way_until_it_ends(
    face: ThreadFace, instances: dict[str, GrpcInstance]
) -> None:
    for instance in instances.values():
        instance.goes_on.clear()
    _, cancel = face.watch()
    assert face.statistics()["in_flight"] == 1

    cancel()

    wait_until(lambda: face.statistics()["in_flight"] == 0)
    assert face.statistics()["failures"] == 0


def test_a_stream_that_breaks_off_is_a_failure(
    face: ThreadFace, instances: dict[str, GrpcInstance]
) -> None:
    for instance in instances.values():
        instance.fails_with = UNAVAILABLE
    read, _ = face.watch()

    assert code_of(read) is UNAVAILABLE
    wait_until(lambda: face.statistics()["ejected"] == 1)


def test_a_key_chooses_the_instance(make: Make) -> None:
    face = make(key=lambda request: request)

    assert len({face.call(request=b"7") for _ in range(5)}) == 1


def test_without_an_instance_the_error_is_one_of_grpc(make: Make) -> None:
    face = make("pay", wait_seconds=0.2)

    for _ in range(2):
        with pytest.raises(NoInstanceRpcError, match="no instance of pay") as raised:
            face.call()
        assert raised.value.code() is UNAVAILABLE
        assert raised.value.details() == str(raised.value)


def test_a_call_may_wait_for_an_instance(
    make: Make, client: zreg.Client, instances: dict[str, GrpcInstance]
) -> None:
    face = make("pay", wait_seconds=0.05)
    assert code_of(face.call) is UNAVAILABLE
    client.publish("pay", instances["a"].endpoint)

    assert face.call(wait_for_ready=True) == "a"


def test_the_face_of_a_channel_for_threads(
    client: zreg.Client, instances: dict[str, GrpcInstance]
) -> None:
    states: list[grpc.ChannelConnectivity] = []
    with channel(client, "orders") as orders:
        assert isinstance(orders, ThreadChannel)
        assert isinstance(orders, grpc.Channel)
        orders.subscribe(states.append)
        wait_until(lambda: grpc.ChannelConnectivity.READY in states)
        orders.unsubscribe(states.append)
        grpc.channel_ready_future(orders).result(timeout=5)
        answer, call = orders.unary_unary(GET).with_call(b"7", 5)
        assert (answer.decode() in NAMES, call.code()) == (True, grpc.StatusCode.OK)
        assert orders.unary_unary(GET).future(b"7", 5).result().decode() in NAMES
        intercepted = grpc.intercept_channel(orders, _Interceptor())
        assert intercepted.unary_unary(GET)(b"7").decode() in NAMES
    with pytest.raises(zreg.UsageError, match=r"give a zreg.Client"):
        channel("orders", "orders")  # type: ignore[call-overload]


class _Interceptor(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, go_on: Any, details: Any, request: Any) -> Any:
        return go_on(details, request)


def test_the_face_of_a_channel_for_asyncio(
    session: FakeSession, instances: dict[str, GrpcInstance]
) -> None:
    program = LoopOfTheProgram()
    state = grpc.ChannelConnectivity

    async def run() -> None:
        async with (
            zreg.AsyncClient(session.url, config=CONFIG) as client,
            channel(client, "orders") as orders,
        ):
            assert isinstance(orders, AsyncChannel)
            await orders.channel_ready()
            await orders.wait_for_state_change(state.TRANSIENT_FAILURE)
            assert orders.get_state() is state.READY
            call = orders.unary_unary(GET)(b"7", timeout=5)
            assert (call.done(), call.cancelled()) == (False, False)
            assert 4 < call.time_remaining() <= 5
            over: list[object] = []
            call.add_done_callback(over.append)
            await call.wait_for_connection()
            assert (await call).decode() in NAMES
            assert await call.code() is grpc.StatusCode.OK
            assert await call.details() == ""
            assert (await call.initial_metadata(), await call.trailing_metadata()) is not None
            assert over == [call]
            given_up = orders.unary_unary(GET)(b"7")
            given_up.cancel()
            assert await given_up.code() is UNAVAILABLE
            assert given_up.cancelled()

    try:
        program.call(run)
    finally:
        program.end()
