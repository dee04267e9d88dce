"""Both clients list ids, read settings and watch them, over real sockets."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asyncio_face import client_maker, settings_of
from fake_session import CONFIG, FakeSession, wait_until

import zreg
from zreg.client.runtime.events import setting_watches
from zreg.model import ZERO, DataInfoId
from zreg.wire.records.settings_messages import FetchSettings, Setting

NewClient = Callable[..., Any]


@pytest.fixture(params=["threads", "asyncio"])
def new_client(request: pytest.FixtureRequest) -> Iterator[NewClient]:
    with client_maker(request.param) as new:
        yield new


@pytest.fixture
def client(session: FakeSession, new_client: NewClient) -> Iterator[Any]:
    with new_client(session.url, config=CONFIG) as client:
        yield client


def test_ids_are_listed_over_several_pages(client: Any, session: FakeSession) -> None:
    names = [DataInfoId(f"{name}#@#I#@#G") for name in "abcde"]
    session.core.listing = dict.fromkeys(names, 3) | {names[1]: 0}

    found = client.list()

    assert found == tuple(zreg.PublishedId(name, "I", "G", 3, ZERO) for name in "acde")


def test_settings_are_listed_and_got(client: Any, session: FakeSession) -> None:
    session.core.settings = {name: Setting(name, name.upper(), 5) for name in ("a", "b", "c")}

    settings = settings_of(client)
    assert settings("list") == tuple(zreg.Setting(n, n.upper(), 5) for n in ("a", "b", "c"))
    assert settings("list", "b*") == (zreg.Setting("b", "B", 5),)
    assert settings("get", "c") == zreg.Setting("c", "C", 5)
    assert settings("get", "d") is None
    with pytest.raises(zreg.UsageError, match="setting name"):
        settings("get", "d*")


def test_without_a_session_a_lookup_fails_in_its_time(new_client: NewClient) -> None:
    with new_client("zreg://127.0.0.1:1", config=CONFIG) as client:
        with pytest.raises(zreg.UnavailableError, match="no session answered"):
            client.list("*", timeout_seconds=0.1)
        with pytest.raises(zreg.UsageError, match="pattern 5"):
            client.list(5)


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_watches, "INTERVAL_SECONDS", 0.02)


@pytest.mark.usefixtures("_often")
def test_a_watched_setting_is_told_at_first_and_at_each_change(
    client: Any, session: FakeSession
) -> None:
    seen: list[str | None] = []
    watch = client.watch_setting("limit", seen.append)
    wait_until(lambda: seen == [None])

    session.core.settings = {"limit": Setting("limit", "5", 7)}
    wait_until(lambda: seen == [None, "5"])
    count = session.core.count(FetchSettings)
    wait_until(lambda: session.core.count(FetchSettings) > count + 2)
    assert seen == [None, "5"], "what did not change is not told again"
    session.core.settings = {"limit": Setting("limit", "6", 8)}
    wait_until(lambda: seen[2:] == ["6"])

    late: list[str | None] = []
    second = client.watch_setting("limit", late.append)
    wait_until(lambda: late == ["6"])
    close(client, second)
    session.core.settings = {}
    wait_until(lambda: seen[3:] == [None])
    assert late == ["6"]

    close(client, watch)
    close(client, watch)
    client.wait_connected(5)
    count = session.core.count(FetchSettings)
    client.publish("pay", "a").wait_registered(5)
    assert session.core.count(FetchSettings) <= count + 1, "one question was under way at most"


def close(client: Any, watch: Any) -> None:
    program = getattr(client, "_program", None)
    if program:
        program.call(watch.close)
    else:
        watch.close()


@pytest.mark.usefixtures("_often")
def test_a_watch_goes_on_after_its_session_was_lost(
    session: FakeSession, new_client: NewClient
) -> None:
    seen: list[str | None] = []
    session.core.settings = {"limit": Setting("limit", "5", 7)}
    with new_client(session.url, config=CONFIG) as client:
        client.watch_setting("limit", seen.append)
        wait_until(lambda: seen == ["5"])
        session.stop()
        wait_until(lambda: client.state is not zreg.ClientState.CONNECTED)
        later = FakeSession(session.address)
        later.core.settings = {"limit": Setting("limit", "6", 8)}
        try:
            wait_until(lambda: seen == ["5", "6"], timeout_seconds=15)
        finally:
            client.close()
            later.stop()


def test_one_question_is_under_way_at_most_for_many_names(
    client: Any, session: FakeSession
) -> None:
    seen: list[str | None] = []
    for number in range(setting_watches._NAMES_MAX):
        client.watch_setting(f"s{number}", seen.append)
    with pytest.raises(zreg.UsageError, match="at most 100"):
        client.watch_setting("more", seen.append)
    client.watch_setting("s0", seen.append)

    wait_until(lambda: len(seen) == setting_watches._NAMES_MAX + 1)
    asked = [each.pattern for each in session.core.received if isinstance(each, FetchSettings)]
    assert sorted(asked[: setting_watches._NAMES_MAX]) == sorted(
        f"s{number}" for number in range(setting_watches._NAMES_MAX)
    )


def test_bad_watches_are_refused_at_once(client: Any) -> None:
    with pytest.raises(zreg.UsageError, match="setting name"):
        client.watch_setting("with blank", print)
    with pytest.raises(zreg.UsageError, match=r"changed\(change: str \| None\)"):
        client.watch_setting("a", lambda: None)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_watch_whose_callback_refers_to_the_client_does_not_keep_it(
    session: FakeSession,
) -> None:
    client = zreg.Client(session.url, config=CONFIG)
    called = threading.Event()

    def changed(_value: str | None, client: zreg.Client = client) -> None:
        assert client is not None
        called.set()

    client.watch_setting("a", changed)
    assert called.wait(10)
    weak = weakref.ref(client)
    del client, changed

    def is_collected() -> bool:
        gc.collect()
        return weak() is None

    wait_until(is_collected)
