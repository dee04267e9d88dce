"""A registry in memory: real clients, faults on demand, and no wait in a test."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asyncio_face import Face, LoopOfTheProgram, settings_of
from fake_session import run_program

import zreg
from zreg.client.runtime.threads import loop_thread
from zreg.testing import FakeRegistry

NewClient = Callable[..., Any]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(params=["threads", "asyncio"])
def new_client(request: pytest.FixtureRequest, registry: FakeRegistry) -> Iterator[NewClient]:
    """Return what makes a client of either kind; all are closed after the test."""
    program = LoopOfTheProgram()
    made: list[Any] = []

    def new(**labels: Any) -> Any:
        if request.param == "threads":
            client: Any = registry.client(**labels)
        else:
            client = Face(registry.async_client(**labels), program)
        made.append(client)
        return client.wait_connected(5)

    yield new
    for client in made:
        client.close()
    program.end()


# --- clients ---------------------------------------------------------------------------------


def test_the_clients_are_real_ones(registry: FakeRegistry) -> None:
    client = registry.client()

    assert type(client) is zreg.Client
    assert type(registry.async_client()) is zreg.AsyncClient


def test_labels_of_clients_are_seen_by_the_registry(
    registry: FakeRegistry, new_client: NewClient
) -> None:
    client = new_client(zone="z1", data_center="d1", app="shop")
    client.publish("orders", "a:1").wait_registered(5)

    (seen,) = registry.clients
    assert (seen.client_id, seen.app, seen.zone, seen.data_center, seen.publisher_count) == (
        client.client_id,
        "shop",
        "z1",
        "d1",
        1,
    )
    (publisher,) = registry.publishers("orders")
    assert (publisher.values, publisher.zone, publisher.app) == (("a:1",), "z1", "shop")


def test_code_that_makes_its_own_client_finds_the_default(registry: FakeRegistry) -> None:
    registry.put("orders", "a:1")
    former = os.environ.get("ZREG_URL")

    with registry.as_default() as same, zreg.Client() as client:
        assert same is registry
        assert client.subscribe("orders").wait_for(1, 5).view.values == ("a:1",)

    assert os.environ.get("ZREG_URL") == former
    with zreg.Client(registry.url) as client:
        client.wait_connected(5)
        assert len(registry.clients) == 1


def test_the_default_that_was_there_before_comes_back(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZREG_URL", "zreg://127.0.0.1:1")

    with registry.as_default():
        assert os.environ["ZREG_URL"] == registry.url

    assert os.environ["ZREG_URL"] == "zreg://127.0.0.1:1"


def test_two_registries_know_nothing_of_each_other(registry: FakeRegistry) -> None:
    with FakeRegistry("second") as other, other.client() as client:
        registry.put("orders", "a:1")

        assert len(client.subscribe("orders").wait_for(0, 5).view) == 0
        assert other.publishers("orders") == ()
        with pytest.raises(zreg.UsageError, match="already"):
            FakeRegistry("second")


def test_closing_the_registry_closes_its_clients_and_its_url() -> None:
    with FakeRegistry() as registry:
        client = registry.client()
        unused = registry.async_client()

    assert client.state is zreg.ClientState.CLOSED
    assert unused.state is zreg.ClientState.CLOSED
    with pytest.raises(zreg.ClosedError, match="FakeRegistry of this client was closed"):
        client.publish("orders", "a:1")
    with pytest.raises(zreg.UsageError, match="this process has none"):
        zreg.Client(registry.url)


def test_a_closed_client_takes_what_it_published_with_it(
    registry: FakeRegistry, new_client: NewClient
) -> None:
    client = new_client()
    client.publish("orders", "a:1").wait_registered(5)

    client.close()

    assert registry.publishers("orders") == ()
    assert registry.clients == ()


# --- instances -------------------------------------------------------------------------------


def test_an_instance_is_seen_when_put_returns_and_so_are_its_changes(
    registry: FakeRegistry, new_client: NewClient
) -> None:
    changes: list[zreg.ViewChange] = []
    sub = new_client().subscribe("orders", changes.append).wait_for(0, timeout_seconds=5)
    registry.wait_idle()

    instance = registry.put("orders", "a:1", attributes={"rack": "7"}, app="shop")
    assert [(p.values, p.app, p.attributes) for p in sub.view] == [
        (("a:1",), "shop", {"rack": "7"})
    ]
    instance.update("a:2")
    assert [(p.values, p.attributes) for p in sub.view] == [(("a:2",), {"rack": "7"})]
    instance.crash()
    assert (list(sub.view), instance.is_registered) == ([], False)
    instance.update("a:3")
    assert sub.view.values == ("a:3",)
    instance.remove()
    instance.remove()

    assert not sub.view
    shown = [(len(c.added), len(c.updated), len(c.removed)) for c in changes]
    assert shown == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 0, 1)]


def test_scopes_hold(registry: FakeRegistry, new_client: NewClient) -> None:
    client = new_client(zone="z1", data_center="d1")
    subs = {scope: client.subscribe("orders", scope=scope) for scope in zreg.Scope}

    registry.put("orders", "near", zone="z1", data_center="d1")
    registry.put("orders", "next", zone="z2", data_center="d1")
    registry.put("orders", "far", zone="z1", data_center="d2")

    seen = {scope: {str(value) for value in sub.view.values} for scope, sub in subs.items()}
    assert seen == {
        zreg.Scope.ZONE: {"near"},
        zreg.Scope.DATA_CENTER: {"near", "next"},
        zreg.Scope.GLOBAL: {"near", "next", "far"},
    }


def test_instances_of_a_service_are_picked(registry: FakeRegistry, new_client: NewClient) -> None:
    service = new_client().service("orders")
    registry.put("orders", zreg.Endpoint(port=80))
    down = registry.put("orders", "10.0.0.2:80")
    down.crash()

    assert {service.pick().address for _ in range(3)} == {"127.0.0.1:80"}


def test_an_instance_that_cannot_be_published_is_refused_at_once(registry: FakeRegistry) -> None:
    with pytest.raises(zreg.UsageError, match="at least one"):
        registry.put("orders")
    with pytest.raises(zreg.UsageError, match="zone"):
        registry.put("orders", "a:1", zone="x" * 65)
    with pytest.raises(zreg.UsageError, match="data id"):
        registry.put("with blank", "a:1")
    assert repr(registry.put("orders", "a:1")).endswith("registered>")


# --- faults ----------------------------------------------------------------------------------


def test_a_lost_session_suspends_clients_until_it_is_restored(
    registry: FakeRegistry, new_client: NewClient
) -> None:
    client = new_client()
    states: list[zreg.ClientState] = []
    client.on_state(lambda change: states.append(change.new))
    publication = client.publish("orders", "a:1").wait_registered(5)
    instance = registry.put("orders", "b:1")
    sub = client.subscribe("orders").wait_for(2, timeout_seconds=5)

    registry.lose_session()
    assert (client.state, sub.view.is_stale) == (zreg.ClientState.SUSPENDED, True)
    assert registry.clients == ()
    instance.update("b:2")
    publication.republish("a:2")
    registry.wait_idle()
    assert {p.values[0] for p in sub.view} == {"a:1", "b:1"}
    assert {p.values[0] for p in registry.publishers("orders")} == {"a:1", "b:2"}
    with pytest.raises(zreg.TimeoutError, match="no session reached at fake://"):
        client.wait_connected(0.01)

    registry.restore()
    assert (client.state, sub.view.is_stale) == (zreg.ClientState.CONNECTED, False)
    assert {p.values[0] for p in sub.view} == {"a:2", "b:2"}
    assert client.status.heard_seconds >= 0
    assert states == [zreg.ClientState.SUSPENDED, zreg.ClientState.CONNECTED]


def test_a_client_may_be_made_while_the_session_is_lost(
    registry: FakeRegistry,
) -> None:
    registry.lose_session()
    with registry.client() as client:
        publication = client.publish("orders", "a:1")
        registry.wait_idle()
        assert (client.state, registry.publishers("orders")) == (zreg.ClientState.CONNECTING, ())

        registry.restore()
        assert publication.is_registered


def test_published_ids_are_listed_in_pages(registry: FakeRegistry, new_client: NewClient) -> None:
    client = new_client()
    for number in range(1001):
        registry.put(f"pay-{number:04}", "a:1")
    registry.put("orders", "a:1", group="other")
    registry.put("gone", "a:1").remove()

    listed = client.list("pay-*")
    assert [each.data_id for each in listed] == [f"pay-{number:04}" for number in range(1001)]
    (orders,) = client.list("orders#@#*")
    assert (orders.group, orders.publisher_count) == ("other", 1)
    assert client.list("gone") == ()


def test_settings_are_read_and_watched(registry: FakeRegistry, new_client: NewClient) -> None:
    client = new_client()
    told: list[str | None] = []
    client.watch_setting("limit", told.append)
    registry.wait_idle()

    registry.set_setting("limit", "5")
    registry.set_setting("limit", "6")
    registry.set_setting("other", "x")
    assert told == [None, "5", "6"]
    assert settings_of(client)("get", "limit") == zreg.Setting("limit", "6", 2)
    assert [each.name for each in settings_of(client)("list")] == ["limit", "other"]
    registry.set_setting("limit", None)
    assert (told[-1], settings_of(client)("get", "limit")) == (None, None)


@pytest.mark.parametrize(("name", "value"), [("a*", "x"), ("", "x"), ("a", "x" * 100_000)])
def test_a_setting_that_cannot_exist_is_refused(
    registry: FakeRegistry, name: str, value: str
) -> None:
    with pytest.raises(zreg.UsageError):
        registry.set_setting(name, value)


def test_held_pushes_come_merged(registry: FakeRegistry, new_client: NewClient) -> None:
    client = new_client()
    changes: list[zreg.ViewChange] = []
    sub = client.subscribe("orders", changes.append).wait_for(0, timeout_seconds=5)
    registry.wait_idle()
    registry.hold_pushes()
    first, second = registry.put("orders", "a:1"), registry.put("orders", "b:1")
    first.remove()
    second.update("b:2")
    late = client.subscribe("payments")
    registry.wait_idle()

    assert (list(sub.view), len(changes), late.view.is_known) == ([], 1, False)
    registry.release_pushes()
    assert (sub.view.values, late.view.is_known) == (("b:2",), True)
    assert len(changes) == 2


def test_a_client_whose_lease_ended_comes_back_when_it_is_restored(
    registry: FakeRegistry, new_client: NewClient
) -> None:
    hung, watcher = new_client(), new_client()
    publication = hung.publish("orders", "a:1").wait_registered(5)
    sub = watcher.subscribe("orders").wait_for(1, timeout_seconds=5)

    registry.expire(hung if isinstance(hung, zreg.Client) else hung._target)
    assert (list(sub.view), registry.publishers("orders")) == ([], ())
    publication.republish("a:2")
    registry.wait_idle()
    assert registry.publishers("orders") == ()

    registry.restore()
    assert sub.view.values == ("a:2",)
    assert len(registry.clients) == 2


def test_one_publication_expires_until_it_is_published_again(registry: FakeRegistry) -> None:
    with registry.client() as client:
        publication = client.publish("orders", "a:1").wait_registered(5)
        sub = client.subscribe("orders").wait_for(1, 5)

        registry.expire(publication)
        assert not sub.view
        publication.republish("a:1")
        registry.wait_idle()
        assert sub.view.values == ("a:1",)

    instance = registry.put("orders", "b:1")
    registry.expire(instance)
    assert registry.publishers("orders") == ()
    with pytest.raises(zreg.UsageError, match="give a client"):
        registry.expire("orders")  # type: ignore[arg-type]


def test_a_final_refusal_ends_a_publication_and_one_for_now_is_asked_again(
    registry: FakeRegistry, new_client: NewClient
) -> None:
    client = new_client()
    registry.refuse("orders", zreg.DeniedError("not yours"))
    with pytest.raises(zreg.DeniedError, match="not yours"):
        client.publish("orders", "a:1").wait_registered(5)
    client.publish("payments", "a:1").wait_registered(5)

    registry.refuse(None, zreg.NotReadyError("starting"))
    late = client.publish("stock", "a:1")
    registry.wait_idle()
    assert not late.is_registered
    registry.accept("payments")
    assert not late.is_registered
    registry.accept()
    assert late.is_registered
    with pytest.raises(zreg.UsageError, match="is no refusal"):
        registry.refuse("orders", ValueError("x"))  # type: ignore[arg-type]


# --- waits -----------------------------------------------------------------------------------


def test_callbacks_have_returned_when_put_returns(registry: FakeRegistry) -> None:
    """Also those that publish, and what their publications change."""
    with registry.client() as client:
        answers = client.subscribe("answers")

        @client.subscribe("questions")
        def answer(change: zreg.ViewChange) -> None:
            for publisher in change.added:
                client.publish("answers", f"re: {publisher.values[0]}")

        registry.put("questions", "why")
        assert answers.view.values == ("re: why",)


def test_a_callback_may_use_the_registry(registry: FakeRegistry) -> None:
    with registry.client() as client:
        sub = client.subscribe("answers")

        @client.subscribe("questions")
        def answer(change: zreg.ViewChange) -> None:
            for publisher in change.added:
                registry.put("answers", f"re: {publisher.values[0]}")

        @client.subscribe("questions", inline=True)
        def answer_inline(change: zreg.ViewChange) -> None:
            for publisher in change.added:
                registry.put("answers", f"inline: {publisher.values[0]}")

        registry.put("questions", "why")
        assert set(sub.view.values) == {"re: why", "inline: why"}


def test_a_callback_that_waits_for_the_test_is_reported(registry: FakeRegistry) -> None:
    may_return = threading.Event()
    with registry.client() as client:
        client.subscribe("orders", lambda _change: may_return.wait(5)).wait_for(0, 5)
        with pytest.raises(zreg.TimeoutError, match="while the test waits for it"):
            registry.wait_idle(0.1)
        may_return.set()
        registry.wait_idle()


def test_callbacks_that_publish_without_end_are_reported(registry: FakeRegistry) -> None:
    with registry.client() as client:
        publication = client.publish("orders", "0")
        client.subscribe("orders", lambda change: publication.republish(str(change.view.version)))

        with pytest.raises(zreg.TimeoutError, match="publish without end"):
            registry.wait_idle(0.2)


def test_clients_on_the_loop_of_the_test_have_settled_when_that_was_awaited() -> None:
    async def main() -> None:
        async with FakeRegistry() as registry:
            client = registry.async_client()
            threaded = registry.client()
            seen: list[int] = []

            async def on_change(change: zreg.ViewChange) -> None:
                await asyncio.sleep(0)
                seen.append(len(change.view))

            sub = client.subscribe("orders", on_change)
            other = threaded.subscribe("orders")
            await registry.settled()
            assert (client.state, sub.view.is_known) == (zreg.ClientState.CONNECTED, True)

            registry.put("orders", "a:1")
            await registry.settled()
            assert (sub.view.values, other.view.values, seen) == (("a:1",), ("a:1",), [0, 1])

            registry.lose_session()
            await registry.settled()
            assert (client.state, sub.view.is_stale) == (zreg.ClientState.SUSPENDED, True)
            registry.restore()
            await registry.settled()
            assert (client.state, sub.view.is_stale) == (zreg.ClientState.CONNECTED, False)
        assert client.state is zreg.ClientState.CLOSED
        assert threaded.state is zreg.ClientState.CLOSED

    asyncio.run(main())


def test_a_coroutine_that_never_ends_is_reported() -> None:
    async def main() -> None:
        async with FakeRegistry() as registry, registry.async_client() as client:

            async def on_change(_change: zreg.ViewChange) -> None:
                await asyncio.Event().wait()

            client.subscribe("orders", on_change)
            with pytest.raises(zreg.TimeoutError, match="still at work"):
                await registry.settled(0.05)

    asyncio.run(main())


# --- what it costs ---------------------------------------------------------------------------


def test_a_registry_without_clients_has_no_thread() -> None:
    before = threading.active_count()
    with FakeRegistry() as registry:
        registry.put("orders", "a:1")
        assert threading.active_count() == before

        registry.client().wait_connected(5)
        assert len(loop_thread._idents) == 1


def test_a_bug_in_the_core_ends_the_client_and_not_the_others(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry.client() as healthy, registry.client() as broken:
        healthy.wait_connected(5)
        broken.wait_connected(5)
        core = broken._runtime.core_runner.node.core  # type: ignore[union-attr]

        def fail(*_arguments: object) -> None:
            raise OSError("a bug")

        monkeypatch.setattr(core, "receive", fail)
        broken.publish("orders", "a:1")

        with pytest.raises(zreg.ClosedError, match="OSError: a bug"):
            broken.publish("orders", "b:1").wait_registered(5)
        healthy.publish("orders", "c:1").wait_registered(5)


def test_a_program_that_drops_its_client_is_warned_as_with_a_real_registry() -> None:
    done, _ = run_program(
        "import zreg\n"
        "from zreg.testing import FakeRegistry\n"
        "registry = FakeRegistry()\n"
        "zreg.Client(registry.url).wait_connected(5)\n"
    )
    assert "unclosed zreg.Client for fake://registry-1" in done.stderr


def test_a_loop_that_ends_with_its_client_open_says_goodbye(registry: FakeRegistry) -> None:
    async def main() -> zreg.AsyncClient:
        client = zreg.AsyncClient(registry.url)
        await client.publish("orders", "a:1").wait_registered(5)
        return client

    with pytest.warns(ResourceWarning, match=r"unclosed zreg\.AsyncClient"):
        asyncio.run(main())

    assert registry.publishers("orders") == ()


def test_the_client_imports_no_test_tool() -> None:
    code = "import sys, zreg; zreg.Client; zreg.AsyncClient; print('zreg.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


@pytest.mark.parametrize("package", ["aiohttp", "loguru", "typer", "rich"])
def test_the_fake_registry_needs_the_clients_dependencies_only(package: str) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from zreg.testing import FakeRegistry\n"
        "with FakeRegistry() as registry, registry.client() as client: client.wait_connected(5)\n"
    )
    done, _ = run_program(code)

    assert (done.returncode, done.stderr) == (0, "")
