"""Names of peers: looked up on threads of their own, each address tried in its turn."""

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest
from reactor_fakes import FakeCore, Harness, wait_until

from zreg.effects import REFUSED, Connect, Disconnect, Link, Local, PeerDelayed, PeerLost, PeerUp
from zreg.reactor.link_table import LinkTable
from zreg.reactor.lookups.checks import why_unreachable
from zreg.reactor.lookups.local_host import find_local_host, written
from zreg.reactor.lookups.lookup_threads import LookupThreads
from zreg.reactor.outgoing import name_lookups
from zreg.reactor.outgoing.name_lookups import NameLookups

Answer = Callable[[str], list[str]]


def resolve(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Have names that end in `.test` resolved by a function."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, **named: object) -> list[object]:
        if not host.endswith(".test"):
            return real(host, *arguments, **named)  # type: ignore[arg-type, return-value]
        return [found for each in answer(host) for found in real(each, *arguments, **named)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


class Lookups(NameLookups):
    """Look-ups whose reports the test reads."""

    def __init__(self) -> None:
        super().__init__(LookupThreads(), lambda host, why: self.done.append((host, why)))
        self.done: list[tuple[str, str]] = []


def run(harness: Harness, test: Callable[[], object]) -> None:
    harness.run(test())  # type: ignore[arg-type]


def test_a_name_is_looked_up_once_for_all_that_wait_for_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1", "::1"]

    async def main() -> None:
        lookups = Lookups()
        assert [lookups.find("a.test"), lookups.find("a.test")] == [None, None]
        await wait_until(lambda: lookups.done == [("a.test", "")])
        assert lookups.find("a.test") == "127.0.0.1"

    resolve(monkeypatch, answer)
    run(harness, main)
    assert asked == ["a.test"]


def test_an_address_that_was_not_reached_is_tried_last(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        lookups = Lookups()
        lookups.find("a.test")
        await wait_until(lambda: lookups.done)
        assert lookups.find("a.test") == "::1"
        lookups.skip("a.test", "::1")
        assert lookups.find("a.test") == "127.0.0.1"
        lookups.skip("a.test", "10.9.9.9")
        lookups.skip("b.test", "10.9.9.9")
        assert lookups.find("a.test") == "127.0.0.1"

    resolve(monkeypatch, lambda _host: ["::1", "127.0.0.1"])
    run(harness, main)


def test_a_later_look_up_keeps_the_address_that_serves_and_drops_those_that_are_gone(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [["::1", "127.0.0.1"], ["127.0.0.2", "127.0.0.1"]]

    async def main() -> None:
        lookups = Lookups()
        lookups.find("a.test")
        await wait_until(lambda: len(lookups.done) == 1)
        lookups.skip("a.test", "::1")
        assert lookups.find("a.test") == "127.0.0.1"
        await wait_until(lambda: len(lookups.done) == 2)
        assert lookups.find("a.test") == "127.0.0.1"
        lookups.skip("a.test", "127.0.0.1")
        assert lookups.find("a.test") == "127.0.0.2"

    monkeypatch.setattr(name_lookups, "_FRESH_SECONDS", 0.0)
    resolve(monkeypatch, lambda _host: answers.pop(0) if len(answers) > 1 else answers[0])
    run(harness, main)


def test_few_names_are_looked_up_at_once_and_all_in_the_end(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, running = threading.Event(), []

    def answer(host: str) -> list[str]:
        running.append(host)
        assert may_go_on.wait(10)
        return ["127.0.0.1"]

    async def main() -> None:
        lookups = Lookups()
        for number in range(20):
            lookups.find(f"{number}.test")
        await wait_until(lambda: len(running) == 8)
        await asyncio.sleep(0.05)
        assert len(running) == 8
        may_go_on.set()
        await wait_until(lambda: len(lookups.done) == 20)

    resolve(monkeypatch, answer)
    run(harness, main)


def test_a_look_up_that_takes_too_long_is_reported_and_used_when_it_ends(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()

    def answer(_host: str) -> list[str]:
        assert may_go_on.wait(10)
        return ["127.0.0.1"]

    async def main() -> None:
        lookups = Lookups()
        lookups.find("a.test")
        await wait_until(lambda: lookups.done == [("a.test", "a.test was not looked up in 0.05 s")])
        may_go_on.set()
        await wait_until(lambda: lookups.done[1:] == [("a.test", "")])
        assert lookups.find("a.test") == "127.0.0.1"

    monkeypatch.setattr(name_lookups, "LOOK_UP_SECONDS_MAX", 0.05)
    resolve(monkeypatch, answer)
    run(harness, main)


def test_a_look_up_without_a_thread_is_reported(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        lookups = Lookups()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            lookups.find("a.test")
        await wait_until(lambda: lookups.done)
        assert lookups.done == [("a.test", "a.test does not resolve: can't start new thread")]

    run(harness, main)


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_a_reactor_that_has_stopped_hears_of_no_look_up(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, ended = threading.Event(), threading.Event()

    def answer(_host: str) -> list[str]:
        may_go_on.wait(10)
        ended.set()
        return ["127.0.0.1"]

    async def main() -> None:
        lookups = Lookups()
        lookups.find("a.test")
        lookups.stop()
        may_go_on.set()
        await wait_until(ended.is_set)
        # What the thread had to say is in the loop's queue once it has ended.
        await wait_until(lambda: "zreg-look-up-a.test" not in names_of_threads())
        await asyncio.sleep(0)
        assert lookups.done == []

    resolve(monkeypatch, answer)
    run(harness, main)


# --- through a reactor ---------------------------------------------------------------------------


def test_a_reactor_connects_to_a_name_and_says_what_it_waits_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        server = await harness.start(
            FakeCore(), LinkTable(routers={Link.CLIENTS: "tcp://127.0.0.1:0"})
        )
        port = server.addresses[Link.CLIENTS].rpartition(":")[2]
        core = FakeCore(start=[Connect(Link.SESSION, "s", f"tcp://a.test:{port}")])
        await harness.start(core, LinkTable(dealers=(Link.SESSION,)))
        await wait_until(lambda: core.of(PeerUp))
        assert core.of(PeerDelayed) == [
            PeerDelayed(Link.SESSION, "s", "a.test is still being looked up")
        ]
        assert core.of(PeerUp) == [PeerUp(Link.SESSION, "s", "127.0.0.1")]

    resolve(monkeypatch, lambda _host: ["127.0.0.1"])
    run(harness, main)


def test_all_addresses_of_a_name_are_tried_before_the_core_hears_of_a_failure(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        server = await harness.start(
            FakeCore(), LinkTable(routers={Link.CLIENTS: "tcp://127.0.0.1:0"})
        )
        port = server.addresses[Link.CLIENTS].rpartition(":")[2]
        core = FakeCore(start=[Connect(Link.SESSION, "s", f"tcp://a.test:{port}")])
        await harness.start(core, LinkTable(dealers=(Link.SESSION,)))
        await wait_until(lambda: core.of(PeerUp))
        assert core.of(PeerLost) == []

        await harness.stop(server)
        await wait_until(lambda: len(core.of(PeerLost)) == 1)
        core.settling.append(Connect(Link.SESSION, "t", f"tcp://a.test:{port}"))
        core.answer = None
        next(iter(harness._tasks)).post(Local())
        await wait_until(lambda: len(core.of(PeerLost)) == 2)
        assert core.of(PeerLost)[1] == PeerLost(Link.SESSION, "t", REFUSED)

    resolve(monkeypatch, lambda _host: ["::1", "127.0.0.2", "127.0.0.1"])
    run(harness, main)


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        (["::1", "127.0.0.1"], None),
        (["127.0.0.2", "127.0.0.1"], None),
        (["127.0.0.2", "127.0.0.3"], REFUSED),
        (["127.0.0.2"], REFUSED),
    ],
)
def test_a_check_of_a_name_is_refused_only_if_all_its_addresses_refuse(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, hosts: list[str], reason: str | None
) -> None:
    async def main() -> None:
        server = await harness.start(
            FakeCore(), LinkTable(routers={Link.REQUESTS: "tcp://127.0.0.1:0"})
        )
        port = server.addresses[Link.REQUESTS].rpartition(":")[2]
        assert await why_unreachable(f"tcp://a.test:{port}", LookupThreads()) == reason

    resolve(monkeypatch, lambda _host: hosts)
    run(harness, main)


def test_a_name_that_does_not_resolve_is_lost_with_that_reason(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        core = FakeCore(start=[Connect(Link.META, "m", "tcp://a.test:9610")])
        await harness.start(core, LinkTable(dealers=(Link.META,)))
        await wait_until(lambda: core.of(PeerLost))
        why = "a.test does not resolve: Name or service not known"
        assert core.of(PeerLost) == [PeerLost(Link.META, "m", why)]

    resolve(monkeypatch, answer)
    run(harness, main)


def test_an_attempt_that_the_core_gave_up_is_not_made_after_its_look_up(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()

    def answer(_host: str) -> list[str]:
        assert may_go_on.wait(10)
        return ["127.0.0.1"]

    async def main() -> None:
        core = FakeCore(
            start=[
                Connect(Link.SESSION, "s", "tcp://a.test:9"),
                Disconnect(Link.SESSION, "s"),
            ]
        )
        reactor = await harness.start(core, LinkTable(dealers=(Link.SESSION,)))
        await wait_until(lambda: core.of(PeerDelayed))
        may_go_on.set()
        await asyncio.sleep(0.1)
        assert reactor.statistics()["connections"] == 0
        assert core.of(PeerLost) == []

    resolve(monkeypatch, answer)
    run(harness, main)


# --- the local end of a route --------------------------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9600", "tcp://127.0.0.1:1"])
def test_the_local_host_of_a_route_to_loopback_is_loopback(address: str) -> None:
    assert find_local_host(address) == "127.0.0.1"


@pytest.mark.parametrize("address", ["tcp://localhost:1", "tcp://h:99999"])
def test_no_name_is_looked_up_for_a_local_host(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    real = socket.getaddrinfo

    def numeric_only(host: str, *arguments: object, **named: int) -> list[object]:
        assert named["flags"] & socket.AI_NUMERICHOST
        return real(host, *arguments, **named)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(socket, "getaddrinfo", numeric_only)
    assert find_local_host(address) == ""


def test_the_zone_of_a_link_local_address_is_written() -> None:
    index, name = socket.if_nameindex()[0]
    assert written(("fe80::1", 80, 0, index)) == f"fe80::1%{name}"
    assert written((f"fe80::1%{name}", 80, 0, index)) == f"fe80::1%{name}"
    assert written(("::ffff:10.0.0.7", 80, 0, 0)) == "10.0.0.7"
    assert written(("10.0.0.7", 80)) == "10.0.0.7"
