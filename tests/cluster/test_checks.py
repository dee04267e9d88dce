"""Checks whether a process listens: only a port without a listener is reported as refused."""

import asyncio
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from reactor_fakes import FakeCore, Harness

from zreg.effects import REFUSED, TIMED_OUT, Connect, Link, Local, PeerLost, PeerUp
from zreg.reactor import LinkTable
from zreg.reactor.lookups.checks import CHECK_SECONDS_MAX, why_unreachable
from zreg.reactor.lookups.lookup_threads import LookupThreads

TABLE = LinkTable(checks=(Link.CHECKS,))


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"tcp://{host}:{port}"


@pytest.fixture
def closed() -> str:
    """Return an address without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        return address_of(listener)


@pytest.fixture
def full() -> Iterator[str]:
    """Return an address that does not answer, as of a cut-off host: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 -- its only argument
            waiting.connect_ex(listener.getsockname())
        yield address_of(listener)


def is_checking() -> bool:
    return any("Checks._run" in repr(task.get_coro()) for task in asyncio.all_tasks())


def outcome(harness: Harness, address: str) -> PeerUp | PeerLost:
    """Return what a core is told about a check."""
    found: list[PeerUp | PeerLost] = []

    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.CHECKS, "d1@3", address)])
        await harness.start(core, TABLE)
        await harness.wait_until(lambda: core.of(PeerUp) or core.of(PeerLost))
        found.extend([*core.of(PeerUp), *core.of(PeerLost)])

    harness.run(scenario())
    (told,) = found
    return told


def test_a_node_greets_a_check_and_its_core_does_not_notice(harness: Harness) -> None:
    async def scenario() -> None:
        node, core = FakeCore(), FakeCore()
        serving, address = await harness.serve(node)
        reactor = await harness.start(core, TABLE)
        await harness.act(reactor, core, Connect(Link.CHECKS, "d1@3", address))
        await harness.wait_until(lambda: core.of(PeerUp))
        assert core.received == [
            (Link.LOCAL, "", Local()),
            (Link.LOCAL, "", PeerUp(Link.CHECKS, "d1@3")),
        ]
        await harness.wait_until(lambda: serving.statistics().get("handshakes_failed"))
        assert node.received == []

    harness.run(scenario())


def test_a_listener_that_does_not_greet_is_not_reported_as_refused(
    harness: Harness, listener: socket.socket
) -> None:
    """A stopped process is like this: its kernel accepts the connection."""
    told = outcome(harness, address_of(listener))

    assert told == PeerLost(Link.CHECKS, "d1@3", TIMED_OUT)


def test_a_connection_that_a_dying_process_accepted_is_tried_again(
    harness: Harness, listener: socket.socket
) -> None:
    """A process closes its listening socket last."""

    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.CHECKS, "d1@3", address_of(listener))])
        await harness.start(core, TABLE)
        await harness.wait_until(lambda: select.select([listener], [], [], 0)[0])
        listener.close()
        await harness.wait_until(lambda: core.of(PeerLost), timeout_seconds=0.9)
        assert core.of(PeerLost) == [PeerLost(Link.CHECKS, "d1@3", REFUSED)]

    harness.run(scenario())


def test_a_listener_that_closes_each_connection_is_not_reported_as_refused(
    harness: Harness, listener: socket.socket
) -> None:
    """A proxy in front of a node is like this."""

    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.CHECKS, "d1@3", address_of(listener))])
        listener.setblocking(False)  # noqa: FBT003 -- its only argument
        await harness.start(core, TABLE)
        taken = 0
        while not core.of(PeerLost):
            await harness.wait_until(
                lambda: core.of(PeerLost) or select.select([listener], [], [], 0)[0]
            )
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                taken += 1
        assert taken > 1
        assert core.of(PeerLost) == [PeerLost(Link.CHECKS, "d1@3", TIMED_OUT)]

    harness.run(scenario())


async def check(address: str) -> str | None:
    """Return why no process greets at an address."""
    return await why_unreachable(address, LookupThreads())


def test_a_port_without_a_listener_is_refused(harness: Harness, closed: str) -> None:
    assert outcome(harness, closed) == PeerLost(Link.CHECKS, "d1@3", REFUSED)


def test_a_port_that_does_not_answer_is_timed_out_and_not_refused(
    harness: Harness, full: str
) -> None:
    assert outcome(harness, full) == PeerLost(Link.CHECKS, "d1@3", TIMED_OUT)
    assert CHECK_SECONDS_MAX < 3.0, "within a lease"


@pytest.mark.parametrize(
    "address", ["", "tcp://127.0.0.1", "tcp://a..b:1", "tcp://[zz]:1", "tcp://1.2.3.4.5:99999"]
)
def test_an_invalid_address_is_not_reported_as_refused(address: str) -> None:
    """The address comes from a node, which may be mistaken."""
    reason = asyncio.run(check(address))

    assert reason
    assert reason != REFUSED


def test_a_second_check_of_a_name_replaces_the_first(
    harness: Harness, full: str, closed: str
) -> None:
    async def scenario() -> None:
        core = FakeCore()
        reactor = await harness.start(core, TABLE)
        checks = [Connect(Link.CHECKS, "d1@3", address) for address in (full, closed)]
        await harness.act(reactor, core, *checks)
        await harness.wait_until(lambda: core.of(PeerLost))
        await harness.wait_until(lambda: not is_checking())
        assert core.of(PeerLost) == [PeerLost(Link.CHECKS, "d1@3", REFUSED)]

    harness.run(scenario())


def test_a_reactor_stops_while_a_check_is_under_way(harness: Harness, full: str) -> None:
    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.CHECKS, "d1@3", full)])
        reactor = await harness.start(core, TABLE)
        assert is_checking()
        assert await harness.stop(reactor) < CHECK_SECONDS_MAX
        assert not is_checking()
        assert core.of(PeerLost) == []

    harness.run(scenario())


def test_a_check_on_a_table_without_checks_is_an_error_of_the_core(
    harness: Harness, closed: str
) -> None:
    async def scenario() -> None:
        core = FakeCore(start=[Connect(Link.CHECKS, "d1@3", closed)])
        reactor = await harness.start(core, LinkTable())
        assert reactor.statistics()["core_errors"] == 1

    harness.run(scenario())


def resolve(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let the name `node.example` have these addresses."""

    def look_up(
        _host: str, port: int, *_: object, **__: object
    ) -> list[tuple[socket.AddressFamily, int, int, str, tuple[str, int]]]:
        families = [socket.AF_INET6 if ":" in host else socket.AF_INET for host in hosts]
        return [
            (family, 0, 0, "", (host, port)) for family, host in zip(families, hosts, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_is_refused_only_if_all_its_addresses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may be bound to one address of its name, and live."""
    with socket.create_server(("127.0.0.2", 0)) as greeting:
        port = greeting.getsockname()[1]
        address = f"tcp://node.example:{port}"

        async def run(*hosts: str) -> str | None:
            resolve(monkeypatch, *hosts)
            task = asyncio.create_task(check(address))
            if "127.0.0.2" in hosts:
                loop = asyncio.get_running_loop()
                greeting.setblocking(False)  # noqa: FBT003 -- its only argument
                connection, _ = await loop.sock_accept(greeting)
                with connection:
                    connection.send(b"x")
            return await task

        assert asyncio.run(run("127.0.0.3", "127.0.0.2")) is None
        assert asyncio.run(run("127.0.0.3", "127.0.0.4")) == REFUSED


def test_a_name_that_does_not_resolve_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    reason = asyncio.run(check("tcp://node.example:1"))

    assert reason == "node.example does not resolve: Name or service not known"


@pytest.mark.parametrize("others", [0, 20])
def test_a_silent_resolver_times_a_check_out_and_holds_up_no_numeric_one(
    harness: Harness, closed: str, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """The loop keeps its own threads: the checks of the journal and the end of a node need them."""
    may_answer = threading.Event()
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: object, **named: object) -> object:
        if not host.endswith(".example"):
            return real(host, *arguments, **named)  # type: ignore[arg-type]
        assert may_answer.wait(20)
        return []

    async def scenario() -> None:
        core = FakeCore()
        reactor = await harness.start(core, TABLE)
        names = [f"node-{number}.example" for number in range(1 + others)]
        silent = [Connect(Link.CHECKS, name, f"tcp://{name}:1") for name in names]
        await harness.act(reactor, core, *silent)
        await harness.act(reactor, core, Connect(Link.CHECKS, "d1@3", closed))
        await harness.wait_until(lambda: core.of(PeerLost))
        assert core.of(PeerLost) == [PeerLost(Link.CHECKS, "d1@3", REFUSED)]
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"

        await harness.wait_until(lambda: len(core.of(PeerLost)) == len(names) + 1)
        assert {lost.reason for lost in core.of(PeerLost)[1:]} == {TIMED_OUT}
        threads = [each for each in threading.enumerate() if each.name.startswith("zreg-look-up")]
        assert 1 <= len(threads) <= 8
        assert all(each.daemon for each in threads)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    harness.run(scenario())
    may_answer.set()


def test_a_check_that_is_replaced_leaves_the_look_up_to_its_successor(
    harness: Harness, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, asked = threading.Event(), []

    def look_up(host: str, *_: object, **__: object) -> object:
        asked.append(host)
        assert may_answer.wait(10)
        return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", 0))]

    async def scenario() -> None:
        core = FakeCore()
        reactor = await harness.start(core, TABLE)
        check = Connect(Link.CHECKS, "d1@3", closed.replace("127.0.0.1", "node.example"))
        await harness.act(reactor, core, check)
        await harness.act(reactor, core, check)
        may_answer.set()
        await harness.wait_until(lambda: core.of(PeerLost))
        assert core.of(PeerLost) == [PeerLost(Link.CHECKS, "d1@3", REFUSED)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    harness.run(scenario())
    assert asked == ["node.example"]
