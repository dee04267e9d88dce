"""What clients with threads and clients on an event loop do alike, over real sockets.

Each test runs with a `zreg.Client`, and with a `zreg.AsyncClient` behind the same face. The tests
that need no hand in the session run once more, with a `FakeRegistry` in the place of sockets.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from asyncio_face import Face, client_maker
from fake_session import CONFIG, FakeSession, wait_until

import zreg
from zreg.effects import Link, Send
from zreg.errors import DeniedError, NotReadyError
from zreg.testing import FakeRegistry
from zreg.wire.records.client_messages import Bye, Publish, ReplayDone, Unsubscribe
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

AnyClient = Any
QUICK_CHECKS = {"health_interval_seconds": 0.2, "health_timeout_seconds": 0.2}
NewClient = Callable[..., AnyClient]


@pytest.fixture(params=["threads", "asyncio"])
def new_client(request: pytest.FixtureRequest) -> Iterator[NewClient]:
    """Return what makes a client of either kind."""
    with client_maker(request.param) as new_client:
        yield new_client


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have tests run without sockets too, except those that change what the session does."""
    if "place" in metafunc.fixturenames:
        is_tied = "session" in metafunc.fixturenames
        metafunc.parametrize("place", ["sockets"] if is_tied else ["sockets", "memory"])


@pytest.fixture
def url(place: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the url of a registry, behind sockets or in memory."""
    if place == "sockets":
        yield request.getfixturevalue("session").url
    else:
        with FakeRegistry() as registry:
            yield registry.url


@pytest.fixture
def client(url: str, new_client: NewClient) -> Iterator[AnyClient]:
    with new_client(url, config=CONFIG, zone="z1", app="tests") as client:
        yield client


def test_a_published_value_is_seen_by_a_subscriber(client: AnyClient) -> None:
    pub = client.publish("pay", "10.0.0.7:12200", b"\x00", zreg.Endpoint("10.0.0.7", 80))
    sub = client.subscribe("pay")

    pub.wait_registered(5)
    sub.wait_for(min_count=1, timeout_seconds=5)

    (publisher,) = sub.view
    assert publisher.values == ("10.0.0.7:12200", b"\x00", zreg.Endpoint("10.0.0.7", 80))
    assert (publisher.zone, publisher.app, publisher.client_id) == ("z1", "tests", client.client_id)
    assert abs(publisher.registered_at - time.time_ns() / 1e9) < 60


def test_two_publications_of_one_id_by_one_client_are_two_publishers(client: AnyClient) -> None:
    first, second = client.publish("pay", "a"), client.publish("pay", "b")
    sub = client.subscribe("pay").wait_for(min_count=2, timeout_seconds=5)

    assert {first.publisher_id, second.publisher_id} == {p.publisher_id for p in sub.view}
    assert sorted(str(value) for value in sub.view.values) == ["a", "b"]


def test_republish_and_unpublish_show_in_the_view(client: AnyClient) -> None:
    sub = client.subscribe("pay")
    with client.publish("pay", "a", attributes={"k": "v"}) as pub:
        sub.wait_for(1, timeout_seconds=5)
        pub.republish("b")
        wait_until(lambda: sub.view.values == ("b",))
        assert sub.view[0].attributes == {"k": "v"}
        pub.wait_registered(5)
    wait_until(lambda: not sub.view)
    pub.unpublish()
    with pytest.raises(zreg.UsageError, match="unpublished"):
        pub.wait_registered(1)

    former = pub.publisher_id
    pub.republish("c")
    wait_until(lambda: sub.view.values == ("c",))
    assert pub.publisher_id != former


def test_the_first_callback_comes_with_the_first_known_view_even_if_empty(
    client: AnyClient,
) -> None:
    seen: list[zreg.ViewChange] = []

    sub = client.subscribe("unpublished", seen.append)

    wait_until(lambda: seen)
    assert [(len(change.view), change.added) for change in seen] == [(0, ())]
    assert sub.view.is_known
    assert sub.wait_for(min_count=0) is sub


def test_a_view_is_unknown_before_it_is_known(new_client: NewClient) -> None:
    with new_client("zreg://127.0.0.1:1", config=CONFIG) as client:
        seen: list[zreg.ViewChange] = []
        sub = client.subscribe("pay", seen.append)

        assert (list(sub.view), sub.view.is_known) == ([], False)
        with pytest.raises(zreg.TimeoutError, match=r"the view is not known yet: no session"):
            sub.wait_for(timeout_seconds=0.1)
        assert seen == []


def test_a_decorated_function_is_called_with_every_change(client: AnyClient) -> None:
    changes: list[zreg.ViewChange] = []

    @client.subscribe("pay")
    def pay_changed(change: zreg.ViewChange) -> None:
        changes.append(change)

    assert callable(pay_changed)
    wait_until(lambda: changes)
    pub = client.publish("pay", "a")
    wait_until(lambda: len(changes) == 2)
    pub.republish("b")
    wait_until(lambda: len(changes) == 3)
    pub.unpublish()
    wait_until(lambda: len(changes) == 4)

    shown = [
        tuple(tuple(p.values[0] for p in part) for part in (c.added, c.updated, c.removed))
        for c in changes
    ]
    assert shown == [((), (), ()), (("a",), (), ()), ((), ("b",), ()), ((), (), ("b",))]


def test_a_callback_that_is_added_late_begins_with_the_view_as_it_is(client: AnyClient) -> None:
    client.publish("pay", "a")
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    seen: list[zreg.ViewChange] = []

    sub(seen.append)

    wait_until(lambda: seen)
    assert seen[0].added == tuple(sub.view)


def test_changes_begin_with_the_known_view_and_end_on_close(client: AnyClient) -> None:
    client.publish("pay", "a")
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    sizes: list[int] = []
    for change in sub.changes():
        sizes.append(len(change.view))
        if len(sizes) == 1:
            client.publish("pay", "b")
        else:
            threading.Thread(target=sub.close).start()

    assert sizes == [1, 2]
    assert list(sub.changes()) == []


def test_changes_end_when_the_client_is_closed(client: AnyClient) -> None:
    sub = client.subscribe("pay")
    for change in sub.changes():
        assert len(change.view) == 0
        threading.Thread(target=client.close).start()

    with pytest.raises(zreg.ClosedError):
        next(sub.changes())


def test_a_closed_subscription_calls_no_callback(client: AnyClient, session: FakeSession) -> None:
    changes: list[zreg.ViewChange] = []
    with client.subscribe("pay", changes.append) as sub:
        wait_until(lambda: changes)
    sub.unsubscribe()

    client.publish("pay", "a").wait_registered(5)
    assert session.core.count(Unsubscribe) == 1
    assert len(changes) == 1
    assert not sub.view


def test_the_status_says_how_the_connection_is(client: AnyClient, session: FakeSession) -> None:
    client.publish("pay", "a").wait_registered(5)
    client.subscribe("pay").wait_for(1, timeout_seconds=5)

    status = client.status
    assert (status.state, status.session) == (
        zreg.ClientState.CONNECTED,
        session.address.removeprefix("tcp://"),
    )
    assert status.round_trip_seconds is not None
    assert 0 < status.round_trip_seconds < 5
    assert 0 <= status.heard_seconds < 5
    assert (status.publications, status.subscriptions) == (1, 1)
    assert status.why.startswith("connected to the session at")
    session.stop()
    wait_until(lambda: client.state is zreg.ClientState.SUSPENDED)
    assert client.status.round_trip_seconds is None
    wait_until(lambda: client.state is zreg.ClientState.LOST)
    assert client.status.why.startswith("no session reached at")


def test_callbacks_are_told_the_state_of_the_connection(
    client: AnyClient, session: FakeSession
) -> None:
    client.wait_connected(5)
    changes: list[zreg.StateChange] = []

    assert client.on_state(changes.append) is not None
    session.stop()

    wait_until(lambda: changes and changes[-1].new is zreg.ClientState.LOST)
    assert changes[0].old is zreg.ClientState.CONNECTED
    assert changes[-1].old is (
        zreg.ClientState.SUSPENDED if len(changes) == 2 else zreg.ClientState.CONNECTED
    )
    with pytest.raises(zreg.UsageError, match=r"such as `def changed\(change: zreg\.StateChange"):
        client.on_state(lambda: None)


def test_a_client_that_reaches_no_session_says_so_in_the_log(
    new_client: NewClient, caplog: pytest.LogCaptureFixture
) -> None:
    with new_client("zreg://127.0.0.1:1", config=CONFIG) as client:
        wait_until(
            lambda: any("client.session.unreachable" in each for each in caplog.messages),
            timeout_seconds=10,
        )
        assert client.state is zreg.ClientState.CONNECTING
    (line,) = (each for each in caplog.messages if "client.session.unreachable" in each)
    assert "127.0.0.1:1: refused" in line
    assert "check host and port" in line


# --- faults ----------------------------------------------------------------------------------


def test_waits_say_that_no_session_was_reached(new_client: NewClient) -> None:
    with new_client("zreg://127.0.0.1:1", config=CONFIG) as client:
        pub = client.publish("pay", "a")
        wait_until(lambda: "refused" in client._runtime.connection.why_waiting())

        with pytest.raises(zreg.TimeoutError, match=r"no session reached at 127\.0") as e:
            pub.wait_registered(0.05)

        assert isinstance(e.value, TimeoutError)
        assert "check host and port" in str(e.value)
        with pytest.raises(zreg.TimeoutError, match="no session reached"):
            client.wait_connected(0.05)


def test_waits_say_how_many_publishers_are_there(client: AnyClient) -> None:
    client.publish("pay", "a")
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

    with pytest.raises(zreg.TimeoutError, match="1 of 3 publishers are there; connected to"):
        sub.wait_for(min_count=3, timeout_seconds=0.05)


def test_a_wait_without_room_to_look_outside_of_its_scope_ends_with_its_timeout(
    session: FakeSession, new_client: NewClient
) -> None:
    config = msgspec.structs.replace(CONFIG, subscribers_per_client_max=1)
    with new_client(session.url, config=config) as client:
        sub = client.subscribe("pay")

        with pytest.raises(zreg.TimeoutError, match=r"0 of 1 publishers .* \(waited 0.2 s\)"):
            sub.wait_for(1, timeout_seconds=0.2)
        assert client.statistics()["subscriptions"] == 1


@pytest.mark.parametrize("seconds", [5.0, math.inf])
def test_what_a_condition_raises_ends_the_wait(client: AnyClient, seconds: float) -> None:
    def condition() -> bool:
        raise TimeoutError("of the condition")

    sub = client.subscribe("pay")
    with pytest.raises(TimeoutError, match=r"^of the condition$"):
        sub.wait_until(condition, timeout_seconds=seconds, wanted=lambda: "")


def test_waits_raise_a_final_refusal(client: AnyClient, session: FakeSession) -> None:
    session.core.refuse_with = (DeniedError.code, "not yours")

    with pytest.raises(zreg.DeniedError, match="not yours"):
        client.publish("pay", "a").wait_registered(5)
    with pytest.raises(zreg.RefusedError, match="not yours"):
        client.subscribe("pay").wait_for(timeout_seconds=5)


def test_waits_go_on_after_a_refusal_for_now_and_name_it_in_their_timeout(
    client: AnyClient, session: FakeSession
) -> None:
    session.core.refuse_with = (NotReadyError.code, "starting")
    pub, sub = client.publish("pay", "a"), client.subscribe("pay")
    wait_until(lambda: pub._state.refusal is not None and sub._state.refusal is not None)

    with pytest.raises(zreg.TimeoutError, match="asks again; the last answer was: starting"):
        pub.wait_registered(0.05)
    with pytest.raises(zreg.TimeoutError, match="refused with NotReadyError: starting"):
        sub.wait_for(timeout_seconds=0.05)

    session.core.refuse_with = None
    pub.wait_registered(5)
    sub.wait_for(1, timeout_seconds=5)


def test_a_call_with_an_invalid_argument_raises_at_once(
    client: AnyClient, monkeypatch: pytest.MonkeyPatch, new_client: NewClient
) -> None:
    with pytest.raises(zreg.UsageError, match="data id"):
        client.publish("with blank", "a")
    with pytest.raises(zreg.UsageError, match="64"):
        client.publish("pay")
    with pytest.raises(zreg.UsageError, match="limit"):
        client.publish("pay", b"x" * 70_000)
    with pytest.raises(zreg.UsageError, match="Endpoint"):
        client.publish("pay", 17)  # type: ignore[arg-type]
    with pytest.raises(zreg.UsageError, match="surrogates"):
        client.publish("pay", "\ud800")
    with pytest.raises(zreg.UsageError, match="app"):
        new_client(app="x" * 65)
    with pytest.raises(zreg.UsageError, match="zone"):
        new_client(zone="x" * 65)
    assert client.statistics()["publications"] == 0
    monkeypatch.setenv("ZREG_ADVERTISE_HOST", "no host\n")
    with pytest.raises(zreg.UsageError, match="host"):
        new_client()


def test_the_number_of_publications_and_subscriptions_is_limited(
    session: FakeSession, new_client: NewClient
) -> None:
    config = msgspec.structs.replace(
        CONFIG, publishers_per_client_max=1, subscribers_per_client_max=1
    )
    with new_client(session.url, config=config) as client:
        pub = client.publish("pay", "a")
        client.subscribe("pay")

        pub.republish("aa")
        with pytest.raises(zreg.UsageError, match="at most 1"):
            client.publish("pay", "b")
        with pytest.raises(zreg.UsageError, match="at most 1"):
            client.subscribe("pay")
        pub.unpublish()
        client.publish("pay", "b").wait_registered(5)


def test_a_client_that_lost_its_session_has_stale_views_and_replays_to_the_next_one(
    session: FakeSession, new_client: NewClient
) -> None:
    with new_client(session.url, config=CONFIG) as client:
        pub = client.publish("pay", "a").wait_registered(5)
        changes: list[zreg.ViewChange] = []
        sub = client.subscribe("pay", changes.append).wait_for(1, timeout_seconds=5)
        assert (sub.view.is_stale, sub.view.age_seconds) == (False, 0.0)
        session.stop()
        wait_until(lambda: client.state is zreg.ClientState.SUSPENDED)
        assert sub.view.is_stale
        assert sub.view.values == ("a",)
        assert sub.view.age_seconds > 0

        second = FakeSession(session.address)
        # As a data node, which outlives the first session.
        second.core.publishers = session.core.publishers
        second.core.counter = 100
        try:
            wait_until(lambda: not sub.view.is_stale)
            wait_until(lambda: second.core.count(ReplayDone))
            (publish,) = (m for m in second.core.received if isinstance(m, Publish))
            assert (publish.publisher_id, publish.version) == (pub.publisher_id, 2)
            assert sub.view.values == ("a",)
            assert len(changes) == 1
        finally:
            client.close()
            second.stop()


def test_a_client_goes_to_another_session_when_its_own_stops(
    session: FakeSession, new_client: NewClient
) -> None:
    other = FakeSession()
    url = f"{session.url},{other.url.removeprefix('zreg://')}"
    with new_client(url, config=CONFIG) as client:
        client.wait_connected(5)
        first = client._runtime.connection.address
        gone, stays = (session, other) if first == session.address else (other, session)
        pub = client.publish("pay", "a").wait_registered(5)
        gone.stop()

        wait_until(lambda: stays.core.count(ReplayDone))
        assert [hello.client_id for hello in stays.core.clients.values()] == [client.client_id]
        pub.republish("b")
        pub.wait_registered(5)
    other.stop()


def test_a_client_leaves_a_silent_session(session: FakeSession, new_client: NewClient) -> None:
    with new_client(session.url, config=CONFIG) as client:
        client.wait_connected(5)
        session.core.is_mute = True

        wait_until(lambda: client.state is zreg.ClientState.SUSPENDED)
        assert "silent" in client._runtime.connection.why_waiting()


def test_close_sends_bye_and_may_be_called_twice(
    session: FakeSession, new_client: NewClient
) -> None:
    client = new_client(session.url, config=CONFIG).wait_connected(5)
    pub, sub = client.publish("pay", "a"), client.subscribe("pay")
    sub.wait_for(1, timeout_seconds=5)
    started_at = time.monotonic()

    client.close()
    client.close()

    assert time.monotonic() - started_at < 1.0
    wait_until(lambda: session.core.count(Bye) == 1)
    assert sub.view.is_stale
    assert client.state is zreg.ClientState.CLOSED
    for call in (
        lambda: client.publish("pay", "a"),
        lambda: client.subscribe("pay"),
        lambda: client.service("pay"),
        lambda: pub.republish("b"),
        lambda: client.request(FetchMembership(0)),
        lambda: client.wait_connected(1),
        lambda: sub.wait_for(5),
    ):
        with pytest.raises(zreg.ClosedError):
            call()
    sub.close()
    assert pub.__exit__(None, None, None) is None


def test_a_wait_ends_when_another_thread_closes_the_client(client: AnyClient) -> None:
    sub = client.subscribe("pay").wait_for(0, timeout_seconds=5)
    threading.Timer(0.05, client.close).start()

    with pytest.raises(zreg.ClosedError):
        sub.wait_for(1, timeout_seconds=5)


def test_a_loop_that_fails_closes_the_client(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, new_client: NewClient
) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise OSError("no sockets left")

    monkeypatch.setattr("zreg.client.runtime.runtime.ClientNode", broken)
    client = new_client("zreg://127.0.0.1:1")

    with pytest.raises(zreg.ClosedError, match="failed: OSError: no sockets left: make a new") as e:
        client.wait_connected(5)
    assert isinstance(e.value.__cause__, OSError)
    assert repr(client) == (
        "<Client closed: the connection of this client failed: OSError: no sockets left>"
    )
    wait_until(lambda: "client.loop.failed" in caplog.messages)
    client.close()


# --- questions of the CLI ----------------------------------------------------------------------


def test_a_question_is_answered_by_the_session(client: AnyClient, session: FakeSession) -> None:
    answer = client.request(FetchMembership(0))

    assert isinstance(answer, MembershipReply)
    assert answer.membership.epoch == 7


def test_what_is_no_question_is_refused_in_the_call(client: AnyClient) -> None:
    with pytest.raises(zreg.UsageError, match="5 is no question to a session"):
        client.request(5)  # type: ignore[arg-type]
    assert isinstance(client.request(FetchMembership(0)), MembershipReply)


def test_a_question_without_a_session_raises_unavailable(new_client: NewClient) -> None:
    with (
        new_client("zreg://127.0.0.1:1", config=CONFIG) as client,
        pytest.raises(zreg.UnavailableError, match="no session reached"),
    ):
        client.request(FetchMembership(0), timeout_seconds=0.1)


def test_a_refused_question_raises_the_refusal(client: AnyClient, session: FakeSession) -> None:
    client.wait_connected(5)
    session.core.refuse_questions = True

    with pytest.raises(zreg.DeniedError, match="operators only"):
        client.request(FetchMembership(0))


def test_a_question_ends_when_another_thread_closes_the_client(new_client: NewClient) -> None:
    client = new_client("zreg://127.0.0.1:1", config=CONFIG)
    threading.Timer(0.05, client.close).start()

    with pytest.raises(zreg.ClosedError):
        client.request(FetchMembership(0))


# --- endpoints ---------------------------------------------------------------------------------


def test_an_endpoint_without_a_host_gets_the_address_of_the_route(client: AnyClient) -> None:
    client.publish("pay", zreg.Endpoint(port=8080)).wait_registered(5)
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

    assert sub.view.values == (zreg.Endpoint("127.0.0.1", 8080),)


def test_an_endpoint_without_a_host_waits_for_a_session(new_client: NewClient) -> None:
    with new_client("zreg://127.0.0.1:1", config=CONFIG) as client:
        wait_until(lambda: "refused" in client._runtime.connection.why_waiting())
        pub = client.publish("pay", zreg.Endpoint(port=8080))

        with pytest.raises(
            zreg.TimeoutError, match="since this machine's address is not known: no session reached"
        ):
            pub.wait_registered(0.05)


def test_an_advertised_host_goes_before_the_route(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, new_client: NewClient
) -> None:
    monkeypatch.setenv("ZREG_ADVERTISE_HOST", "pay.example.org")
    with new_client(session.url, config=CONFIG) as client:
        client.publish("pay", zreg.Endpoint(port=8080)).wait_registered(5)
        sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

        assert sub.view.values == (zreg.Endpoint("pay.example.org", 8080),)


def test_an_endpoint_without_a_host_is_published_again_when_the_route_changes(
    client: AnyClient, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = client.publish("pay", zreg.Endpoint(port=8080)).wait_registered(5)
    fixed = client.publish("pay", zreg.Endpoint("h", 1)).wait_registered(5)
    sub = client.subscribe("pay").wait_for(2, timeout_seconds=5)
    monkeypatch.setattr("zreg.reactor.peer_events.find_local_host", lambda _address: "10.9.9.9")

    (peer,) = session.core.clients
    session.do(lambda: [Send(Link.CLIENTS, peer, Bye())])

    wait_until(lambda: zreg.Endpoint("10.9.9.9", 8080) in sub.view.values)
    for pub in (held, fixed):
        pub.wait_registered(5)
    assert {p.publisher_id for p in sub.view} == {held.publisher_id, fixed.publisher_id}


def test_a_service_follows_its_instances(client: AnyClient) -> None:
    with client.service("orders") as service:
        with pytest.raises(zreg.NoInstanceError, match="wait_up"):
            service.pick()
        client.publish("orders", zreg.Endpoint("h1", 1))
        client.publish("orders", "h2:2?weight=100", b"not an endpoint")

        service.wait_up(min_up=2, timeout_seconds=5)
        assert {service.pick().address for _ in range(2)} == {"h1:1", "h2:2"}
        assert service.skipped_count == 1
        with pytest.raises(zreg.TimeoutError, match="2 of 3 instances"):
            service.wait_up(3, timeout_seconds=0.05)


# --- processes -----------------------------------------------------------------------------------


# --- health, updates and drains ---------------------------------------------------------------


class Check:
    """A check whose result the test sets."""

    def __init__(self, result: object = None) -> None:
        self.result = result
        self.count = 0

    def __call__(self) -> Any:
        self.count += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def health_of(publication: Any) -> tuple[str, str]:
    return publication.health.state.value, publication.health.reason


def test_without_health_a_publication_is_unchecked(client: AnyClient) -> None:
    assert health_of(client.publish("pay", "a")) == ("unchecked", "")


def test_an_unhealthy_instance_is_withdrawn_and_comes_back(
    client: AnyClient, caplog: pytest.LogCaptureFixture
) -> None:
    check = Check()
    sub = client.subscribe("pay")
    pub = client.publish("pay", "a", health=check, **QUICK_CHECKS).wait_registered(5)
    sub.wait_for(1, timeout_seconds=5)
    first = pub.publisher_id
    assert health_of(pub) == ("healthy", "")

    check.result = "no database"
    wait_until(lambda: sub.view.is_known and not sub.view)
    assert health_of(pub) == ("unhealthy", "no database")
    assert not pub.is_registered
    assert " unhealthy>" in repr(pub)
    with pytest.raises(zreg.TimeoutError, match=r"not published now.*no database"):
        pub.wait_registered(0.05)
    wait_until(
        lambda: (
            "client.health.lost id=pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP then=withdraw "
            "reason='no database'" in caplog.messages
        )
    )

    check.result = True
    sub.wait_for(1, timeout_seconds=5)
    pub.wait_registered(5)
    assert health_of(pub) == ("healthy", "")
    assert pub.publisher_id != first


def test_an_unhealthy_instance_is_marked_and_no_service_picks_it(client: AnyClient) -> None:
    check = Check()
    service = client.service("pay")
    pub = client.publish(
        "pay",
        zreg.Endpoint("10.0.0.7", 80, weight=70),
        attributes={"rack": "7"},
        health=check,
        when_unhealthy=zreg.WhenUnhealthy.MARK,
        **QUICK_CHECKS,
    )
    assert service.wait_up(timeout_seconds=5).pick().weight == 70

    check.result = ZeroDivisionError("by zero")
    wait_until(lambda: service.view.values == (zreg.Endpoint("10.0.0.7", 80, weight=0),))
    assert service.view[0].attributes == {
        "rack": "7",
        "zreg.health": "ZeroDivisionError: by zero",
    }
    with pytest.raises(zreg.NoInstanceError, match="weight 0"):
        service.pick()
    assert service.view[0].publisher_id == pub.publisher_id
    pub.wait_registered(5)

    check.result = None
    wait_until(lambda: service.pick().weight == 70 if service.view.values[0].weight else False)
    assert service.view[0].attributes == {"rack": "7"}


def test_nothing_is_published_before_the_first_check_succeeds(
    client: AnyClient, session: FakeSession
) -> None:
    check = Check(result=False)
    pub = client.publish("pay", "a", health=check, **QUICK_CHECKS)
    wait_until(lambda: check.count > 2)
    assert health_of(pub) == ("unhealthy", "its check returned False")
    assert session.core.count(Publish) == 0

    check.result = True
    pub.wait_registered(5)
    assert session.core.count(Publish) == 1


@pytest.mark.parametrize("error", [RuntimeError("a"), BaseException("a"), GeneratorExit("a")])
def test_what_a_check_raises_is_the_reason(client: AnyClient, error: BaseException) -> None:
    check = Check(error)
    pub = client.publish("pay", "a", health=check, **QUICK_CHECKS)

    wait_until(lambda: check.count > 2)
    assert health_of(pub) == ("unhealthy", f"{type(error).__name__}: a")


def test_the_newest_values_come_back_with_health(client: AnyClient) -> None:
    check = Check("down")
    sub = client.subscribe("pay")
    pub = client.publish("pay", zreg.Endpoint("a", 80), health=check, **QUICK_CHECKS)
    wait_until(lambda: health_of(pub) == ("unhealthy", "down"))
    pub.republish(zreg.Endpoint("b", 80))
    pub.update(weight=7)
    assert pub.values == (zreg.Endpoint("b", 80, weight=7),)
    assert not sub.view

    check.result = None
    sub.wait_for(1, timeout_seconds=5)
    assert sub.view.values == (zreg.Endpoint("b", 80, weight=7),)


def test_an_unpublished_instance_is_checked_no_more_until_it_is_published_again(
    client: AnyClient,
) -> None:
    check = Check()
    pub = client.publish("pay", "a", health=check, **QUICK_CHECKS).wait_registered(5)
    other = Check()
    pub.unpublish()
    count = check.count
    client.publish("other", "a", health=other, **QUICK_CHECKS)
    wait_until(lambda: other.count > 2)
    # One may have been under way.
    assert check.count <= count + 1

    pub.republish("b")
    pub.wait_registered(5)
    assert check.count > count


def test_a_check_may_republish_unpublish_and_close_its_publication(client: AnyClient) -> None:
    made: list[Any] = []
    sub = client.subscribe("pay")

    def check() -> None:
        if len(made) == 1:
            made[0].republish("b")
            made.append("republished")
        elif len(made) == 2 and sub.view.values == ("b",):
            made.append("unpublished")
            made[0].unpublish()

    pub = client.publish("pay", "a", health=check, **QUICK_CHECKS)
    # The plain object, since a check runs where its client does.
    made.append(pub._target if isinstance(pub, Face) else pub)
    wait_until(lambda: "unpublished" in made)
    wait_until(lambda: not sub.view)


def test_the_number_of_publications_includes_those_that_are_withdrawn(
    session: FakeSession, new_client: NewClient
) -> None:
    config = msgspec.structs.replace(CONFIG, publishers_per_client_max=1)
    check = Check()
    with new_client(session.url, config=config) as client:
        pub = client.publish("pay", "a", health=check, **QUICK_CHECKS).wait_registered(5)
        check.result = False
        wait_until(lambda: not pub.is_registered)
        with pytest.raises(zreg.UsageError, match="at most 1"):
            client.publish("pay", "b")
        check.result = None
        pub.wait_registered(5)


def test_a_closed_client_begins_no_check(session: FakeSession, new_client: NewClient) -> None:
    check, other = Check(), Check()
    with (
        new_client(session.url, config=CONFIG) as client,
        new_client(session.url, config=CONFIG) as second,
    ):
        client.publish("pay", "a", health=check, **QUICK_CHECKS).wait_registered(5)
        second.publish("pay", "a", health=other, **QUICK_CHECKS)
        client.close()
        count, others = check.count, other.count
        wait_until(lambda: other.count > others + 2)

        assert check.count <= count + 1


def test_a_loop_that_does_not_beat_loses_its_publications_until_it_beats(client: AnyClient) -> None:
    heartbeat = client.heartbeat(timeout_seconds=0.2)
    sub, both = client.subscribe("pay"), 2
    pubs = [client.publish("pay", value, health=heartbeat) for value in ("a", "b")]
    sub.wait_for(both, timeout_seconds=5)

    wait_until(lambda: not sub.view)
    assert [health_of(pub) for pub in pubs] == [("unhealthy", "no heartbeat for 0.2 s")] * both

    # On the test's thread, which is not the one of the client.
    heartbeat.beat()
    sub.wait_for(both, timeout_seconds=5)


def test_a_loop_that_beats_keeps_its_publication(client: AnyClient) -> None:
    heartbeat = client.heartbeat(timeout_seconds=0.5)
    changes: list[zreg.ViewChange] = []
    pub = client.publish("pay", "a", health=heartbeat).wait_registered(5)
    client.subscribe("pay", changes.append).wait_for(1, timeout_seconds=5)
    ends_at = time.monotonic() + 1.2

    wait_until(lambda: heartbeat.beat() or time.monotonic() > ends_at)

    assert health_of(pub) == ("healthy", "")
    assert len(changes) == 1


def test_an_update_changes_fields_and_keeps_the_others(client: AnyClient) -> None:
    sub = client.subscribe("pay")
    pub = client.publish("pay", zreg.Endpoint("a", 80, version="1"), attributes={"rack": "7"})
    sub.wait_for(1, timeout_seconds=5)

    pub.update(weight=5, tags={"blue"})
    wait_until(lambda: sub.view.values == (zreg.Endpoint("a", 80, 5, "1", {"blue"}),))
    assert sub.view[0].attributes == {"rack": "7"}
    pub.update(attributes={"rack": "8"})
    wait_until(lambda: sub.view[0].attributes == {"rack": "8"})

    with pytest.raises(zreg.UsageError, match="no field 'colour'"):
        pub.update(colour="blue")
    pub.unpublish()
    with pytest.raises(zreg.UsageError, match="was unpublished"):
        pub.update(weight=6)


def test_in_a_draining_block_no_consumer_picks_it(client: AnyClient) -> None:
    service = client.service("pay")
    pub = client.publish("pay", zreg.Endpoint("a", 80, weight=70))
    service.wait_up(timeout_seconds=5)

    with pub.draining(seconds=0.1) as drained:
        assert drained.data_info_id == pub.data_info_id
        wait_until(lambda: service.view.values[0].weight == 0)
        pub.update(weight=60)
        pub.wait_registered(5)
        assert service.view.values[0].weight == 0
    wait_until(lambda: service.view.values[0].weight == 60)


def test_a_failed_draining_block_gives_the_weight_back(client: AnyClient) -> None:
    service = client.service("pay")
    pub = client.publish("pay", "10.0.0.7:80?weight=70")
    service.wait_up(timeout_seconds=5)

    def deploy() -> None:
        wait_until(lambda: service.endpoints[0].weight == 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), pub.draining(seconds=0):
        deploy()
    wait_until(lambda: service.endpoints[0].weight == 70)


def test_a_drained_publication_ends_after_its_weight_was_zero(client: AnyClient) -> None:
    weights: list[list[int]] = []
    sub = client.subscribe(
        "pay", lambda change: weights.append([value.weight for value in change.view.values])
    )
    pub = client.publish("pay", zreg.Endpoint("a", 80))
    sub.wait_for(1, timeout_seconds=5)

    pub.drain(0.3)

    wait_until(lambda: weights[-2:] == [[0], []])
    pub.drain(0.3)
    with pytest.raises(zreg.UsageError, match="unpublished"):
        pub.wait_registered(1)


def test_what_has_no_weight_cannot_be_drained(client: AnyClient) -> None:
    pub = client.publish("pay", "text").wait_registered(5)

    with pytest.raises(zreg.UsageError, match="none of its values has a weight"):
        pub.drain(1)
    with pytest.raises(zreg.UsageError, match="seconds -1 cannot be used"):
        pub.draining(-1)
    assert pub.is_registered


def test_closing_the_client_ends_a_drain(client: AnyClient) -> None:
    pub = client.publish("pay", zreg.Endpoint("a", 80)).wait_registered(5)
    other = client.publish("pay", zreg.Endpoint("b", 80)).wait_registered(5)
    threading.Timer(0.1, client.close).start()

    with pytest.raises(zreg.ClosedError), pub.draining(seconds=60):
        pytest.fail("the block must not begin")
    with pytest.raises(zreg.ClosedError):
        other.drain(60)


def test_a_drain_returns_when_its_client_is_closed(client: AnyClient) -> None:
    pub = client.publish("pay", zreg.Endpoint("a", 80)).wait_registered(5)
    threading.Timer(0.1, client.close).start()

    assert pub.drain(60) is None


def test_a_bad_health_is_refused_and_publishes_nothing(client: AnyClient) -> None:
    for arguments, error in (
        ({"health": 5}, "cannot be called"),
        ({"health": lambda _view: True}, "without arguments"),
        ({"health": Check(), "health_timeout_seconds": 9}, "longer than"),
        ({"health": Check(), "health_interval_seconds": -1}, "cannot be used"),
    ):
        with pytest.raises(zreg.UsageError, match=error):
            client.publish("pay", "a", **arguments)
    with pytest.raises(zreg.UsageError, match="limit"):
        client.publish("pay", "x" * 65_000, health=Check(), when_unhealthy=zreg.WhenUnhealthy.MARK)
    assert client.statistics()["publications"] == 0
