"""The client's API over real sockets, against a small session core on a second reactor."""

import gc
import signal
import subprocess
import sys
import threading
import time
import warnings

import msgspec
import pytest
from fake_session import CONFIG, FakeSession, run_program, wait_until

import zreg
from zreg.effects import Link, Send
from zreg.errors import DeniedError, NotReadyError
from zreg.wire.records.client_messages import (
    Bye,
    Publish,
    ReplayDone,
    Unsubscribe,
)
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply


def test_a_published_value_is_seen_by_a_subscriber(client: zreg.Client) -> None:
    pub = client.publish("pay", "10.0.0.7:12200", b"\x00", zreg.Endpoint("10.0.0.7", 80))
    sub = client.subscribe("pay")

    pub.wait_registered(5)
    sub.wait_for(min_count=1, timeout_seconds=5)

    (publisher,) = sub.view
    assert publisher.values == ("10.0.0.7:12200", b"\x00", zreg.Endpoint("10.0.0.7", 80))
    assert (publisher.zone, publisher.app, publisher.client_id) == ("z1", "tests", client.client_id)
    assert abs(publisher.registered_at - time.time_ns() / 1e9) < 60


def test_two_publications_of_one_id_by_one_client_are_two_publishers(client: zreg.Client) -> None:
    first, second = client.publish("pay", "a"), client.publish("pay", "b")
    sub = client.subscribe("pay").wait_for(min_count=2, timeout_seconds=5)

    assert {first.publisher_id, second.publisher_id} == {p.publisher_id for p in sub.view}
    assert sorted(str(value) for value in sub.view.values) == ["a", "b"]


def test_republish_and_unpublish_show_in_the_view(client: zreg.Client) -> None:
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


def test_a_publication_that_is_unpublished_before_it_left_the_queue_is_never_sent(
    client: zreg.Client,
) -> None:
    with client._runtime.changed:  # the loop's thread waits here
        pub = client.publish("pay", "a")
        first = pub.publisher_id
        pub.unpublish()
        pub.republish("b")
        pub.republish("c")
        assert pub.publisher_id == first

    pub.wait_registered(5)
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    assert sub.view.values == ("c",)


def test_a_burst_of_republishes_sends_only_the_newest_value(
    client: zreg.Client, session: FakeSession
) -> None:
    pub = client.publish("pay", "0").wait_registered(5)
    before = session.core.count(Publish)
    with client._runtime.changed:  # the loop's thread waits here
        for number in range(1000):
            pub.republish(str(number))

    pub.wait_registered(5)
    assert session.core.count(Publish) == before + 1
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    assert sub.view.values == ("999",)


def test_the_first_callback_comes_with_the_first_known_view_even_if_empty(
    client: zreg.Client,
) -> None:
    seen: list[zreg.ViewChange] = []

    sub = client.subscribe("unpublished", seen.append)

    wait_until(lambda: seen)
    assert [(len(change.view), change.added) for change in seen] == [(0, ())]
    assert sub.view.is_known
    assert sub.wait_for(min_count=0) is sub


def test_a_view_is_unknown_before_it_is_known() -> None:
    with zreg.Client("zreg://127.0.0.1:1", config=CONFIG) as client:
        seen: list[zreg.ViewChange] = []
        sub = client.subscribe("pay", seen.append)

        assert (list(sub.view), sub.view.is_known) == ([], False)
        with pytest.raises(zreg.TimeoutError, match=r"the view is not known yet: no session"):
            sub.wait_for(timeout_seconds=0.1)
        assert seen == []


def test_a_decorated_function_is_called_with_every_change(client: zreg.Client) -> None:
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


def test_a_callback_that_is_added_late_begins_with_the_view_as_it_is(client: zreg.Client) -> None:
    client.publish("pay", "a")
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)
    seen: list[zreg.ViewChange] = []

    sub(seen.append)

    wait_until(lambda: seen)
    assert seen[0].added == tuple(sub.view)


def test_changes_begin_with_the_known_view_and_end_on_close(client: zreg.Client) -> None:
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


def test_changes_end_when_the_client_is_closed(client: zreg.Client) -> None:
    sub = client.subscribe("pay")
    for change in sub.changes():
        assert len(change.view) == 0
        threading.Thread(target=client.close).start()

    with pytest.raises(zreg.ClosedError):
        next(sub.changes())


def test_a_callback_that_raises_is_logged_and_called_again(
    client: zreg.Client, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def fail(change: zreg.ViewChange) -> None:
        seen.append(len(change.view))
        if len(seen) == 1:
            raise ValueError("raised by the callback")
        if len(seen) == 2:
            sys.exit(3)

    client.subscribe("pay", fail)
    wait_until(lambda: len(seen) == 1)
    client.publish("pay", "a")
    wait_until(lambda: len(seen) == 2)
    client.publish("pay", "b")
    wait_until(lambda: seen == [0, 1, 2])
    assert caplog.messages.count("client.callback.failed") == 2


def test_a_callback_may_call_the_whole_api(client: zreg.Client) -> None:
    done: list[object] = []

    def answer(change: zreg.ViewChange) -> None:
        if not change.view:
            return
        pub = client.publish("answer", "yes").wait_registered(5)
        sub = client.subscribe("answer").wait_for(1, timeout_seconds=5)
        pub.unpublish()
        sub.close()
        client.close()
        done.append(sub.view.values)

    client.subscribe("pay", answer)
    client.publish("pay", "a")

    wait_until(lambda: done)
    assert done == [("yes",)]
    assert client.state is zreg.ClientState.CLOSED


def test_a_slow_callback_gets_the_newest_state_merged_into_one_change(
    client: zreg.Client, session: FakeSession
) -> None:
    entered, may_go_on = threading.Event(), threading.Event()
    changes: list[zreg.ViewChange] = []

    def slow(change: zreg.ViewChange) -> None:
        changes.append(change)
        entered.set()
        assert may_go_on.wait(5)

    sub = client.subscribe("pay", slow)
    assert entered.wait(5)
    first = client.publish("pay", "0")
    for number in range(1, 20):
        pub = client.publish("pay", str(number))
    pub.wait_registered(5)
    first.unpublish()
    wait_until(lambda: len(sub.view) == 19)
    may_go_on.set()

    wait_until(lambda: len(changes) == 2)
    assert len(changes[1].view) == len(changes[1].added) == 19
    assert changes[1].removed == ()


def test_a_closed_subscription_calls_no_callback(client: zreg.Client, session: FakeSession) -> None:
    changes: list[zreg.ViewChange] = []
    with client.subscribe("pay", changes.append) as sub:
        wait_until(lambda: changes)
    sub.unsubscribe()

    client.publish("pay", "a").wait_registered(5)
    assert session.core.count(Unsubscribe) == 1
    assert len(changes) == 1
    assert not sub.view


# --- faults ----------------------------------------------------------------------------------


def test_waits_say_that_no_session_was_reached() -> None:
    with zreg.Client("zreg://127.0.0.1:1", config=CONFIG) as client:
        pub = client.publish("pay", "a")
        wait_until(lambda: "refused" in client._runtime.connection.why_waiting())

        with pytest.raises(zreg.TimeoutError, match=r"no session reached at 127\.0") as e:
            pub.wait_registered(0.05)

        assert isinstance(e.value, TimeoutError)
        assert "check host and port" in str(e.value)
        with pytest.raises(zreg.TimeoutError, match="no session reached"):
            client.wait_connected(0.05)


def test_waits_say_how_many_publishers_are_there(client: zreg.Client) -> None:
    client.publish("pay", "a")
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

    with pytest.raises(zreg.TimeoutError, match="1 of 3 publishers are there; connected to"):
        sub.wait_for(min_count=3, timeout_seconds=0.05)


def test_waits_raise_a_final_refusal(client: zreg.Client, session: FakeSession) -> None:
    session.core.refuse_with = (DeniedError.code, "not yours")

    with pytest.raises(zreg.DeniedError, match="not yours"):
        client.publish("pay", "a").wait_registered(5)
    with pytest.raises(zreg.RefusedError, match="not yours"):
        client.subscribe("pay").wait_for(timeout_seconds=5)


def test_waits_go_on_after_a_refusal_for_now_and_name_it_in_their_timeout(
    client: zreg.Client, session: FakeSession
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
    client: zreg.Client, monkeypatch: pytest.MonkeyPatch
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
        zreg.Client(app="x" * 65)
    with pytest.raises(zreg.UsageError, match="zone"):
        zreg.Client(zone="x" * 65)
    assert client.statistics()["publications"] == 0
    monkeypatch.setenv("ZREG_ADVERTISE_HOST", "no host\n")
    with pytest.raises(zreg.UsageError, match="host"):
        zreg.Client()


def test_the_number_of_publications_and_subscriptions_is_limited(session: FakeSession) -> None:
    config = msgspec.structs.replace(
        CONFIG, publishers_per_client_max=1, subscribers_per_client_max=1
    )
    with zreg.Client(session.url, config=config) as client:
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
    session: FakeSession,
) -> None:
    with zreg.Client(session.url, config=CONFIG) as client:
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


def test_a_client_goes_to_another_session_when_its_own_stops(session: FakeSession) -> None:
    other = FakeSession()
    url = f"{session.url},{other.url.removeprefix('zreg://')}"
    with zreg.Client(url, config=CONFIG) as client:
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


def test_a_client_leaves_a_silent_session(session: FakeSession) -> None:
    with zreg.Client(session.url, config=CONFIG) as client:
        client.wait_connected(5)
        session.core.is_mute = True

        wait_until(lambda: client.state is zreg.ClientState.SUSPENDED)
        assert "silent" in client._runtime.connection.why_waiting()


def test_close_sends_bye_and_may_be_called_twice(session: FakeSession) -> None:
    client = zreg.Client(session.url, config=CONFIG).wait_connected(5)
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


def test_a_wait_ends_when_another_thread_closes_the_client(client: zreg.Client) -> None:
    sub = client.subscribe("pay").wait_for(0, timeout_seconds=5)
    threading.Timer(0.05, client.close).start()

    with pytest.raises(zreg.ClosedError):
        sub.wait_for(1, timeout_seconds=5)


def test_a_client_that_is_closed_at_once_leaves_no_thread_and_no_socket() -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        zreg.Client("zreg://127.0.0.1:1").close()

    wait_until(lambda: set(threading.enumerate()) <= before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()


def test_a_loop_that_fails_closes_the_client(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise OSError("no sockets left")

    monkeypatch.setattr("zreg.client.runtime.runtime.ClientNode", broken)
    client = zreg.Client("zreg://127.0.0.1:1")

    with pytest.raises(zreg.ClosedError, match="failed: OSError: no sockets left: make a new") as e:
        client.wait_connected(5)
    assert isinstance(e.value.__cause__, OSError)
    assert repr(client) == (
        "<Client closed: the thread of this client's connection failed: OSError: no sockets left>"
    )
    wait_until(lambda: "client.loop.failed" in caplog.messages)
    client.close()


# --- questions of the CLI ----------------------------------------------------------------------


def test_a_question_is_answered_by_the_session(client: zreg.Client) -> None:
    answer = client.request(FetchMembership(0))

    assert isinstance(answer, MembershipReply)
    assert answer.membership.epoch == 7


def test_what_is_no_question_is_refused_in_the_call(client: zreg.Client) -> None:
    with pytest.raises(zreg.UsageError, match="5 is no question to a session"):
        client.request(5)  # type: ignore[arg-type]
    assert isinstance(client.request(FetchMembership(0)), MembershipReply)


def test_a_question_without_a_session_raises_unavailable() -> None:
    with (
        zreg.Client("zreg://127.0.0.1:1", config=CONFIG) as client,
        pytest.raises(zreg.UnavailableError, match="no session reached"),
    ):
        client.request(FetchMembership(0), timeout_seconds=0.1)


def test_a_refused_question_raises_the_refusal(client: zreg.Client, session: FakeSession) -> None:
    client.wait_connected(5)
    session.core.refuse_questions = True

    with pytest.raises(zreg.DeniedError, match="operators only"):
        client.request(FetchMembership(0))


def test_a_question_ends_when_another_thread_closes_the_client() -> None:
    client = zreg.Client("zreg://127.0.0.1:1", config=CONFIG)
    threading.Timer(0.05, client.close).start()

    with pytest.raises(zreg.ClosedError):
        client.request(FetchMembership(0))


def test_every_object_of_the_api_has_a_repr(client: zreg.Client) -> None:
    pub = client.publish("pay", "a").wait_registered(5)
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

    assert repr(client).startswith("<Client connected: connected to the session at tcp://127.0.0.1")
    assert repr(pub).endswith(" registered>")
    assert repr(sub).startswith("<Subscription pay#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP DATA_")
    assert repr(client._runtime).startswith("<Runtime connected")
    assert repr(client._runtime.dispatcher).endswith("waiting=0>")
    assert repr(client._runtime.core_runner.node).startswith("<ClientNode <ClientCore connected")
    assert client.statistics()["state"] == "connected"
    assert pub.values == ("a",)
    pub.unpublish()
    assert repr(pub).endswith(" withdrawn>")
    assert repr(client.publish("pay", zreg.Endpoint(port=1))).endswith("pending>")


# --- endpoints ---------------------------------------------------------------------------------


def test_an_endpoint_without_a_host_gets_the_address_of_the_route(client: zreg.Client) -> None:
    client.publish("pay", zreg.Endpoint(port=8080)).wait_registered(5)
    sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

    assert sub.view.values == (zreg.Endpoint("127.0.0.1", 8080),)


def test_an_endpoint_without_a_host_waits_for_a_session() -> None:
    with zreg.Client("zreg://127.0.0.1:1", config=CONFIG) as client:
        wait_until(lambda: "refused" in client._runtime.connection.why_waiting())
        pub = client.publish("pay", zreg.Endpoint(port=8080))

        with pytest.raises(
            zreg.TimeoutError, match="since this machine's address is not known: no session reached"
        ):
            pub.wait_registered(0.05)


def test_an_advertised_host_goes_before_the_route(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZREG_ADVERTISE_HOST", "pay.example.org")
    with zreg.Client(session.url, config=CONFIG) as client:
        client.publish("pay", zreg.Endpoint(port=8080)).wait_registered(5)
        sub = client.subscribe("pay").wait_for(1, timeout_seconds=5)

        assert sub.view.values == (zreg.Endpoint("pay.example.org", 8080),)


def test_an_endpoint_without_a_host_is_published_again_when_the_route_changes(
    client: zreg.Client, session: FakeSession, monkeypatch: pytest.MonkeyPatch
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


def test_a_service_follows_its_instances(client: zreg.Client) -> None:
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


def test_a_program_without_a_registry_exits_within_a_second() -> None:
    done, _ = run_program(
        "import time, zreg\n"
        "client = zreg.Client('zreg://127.0.0.1:1,192.0.2.1:9600')\n"
        "client.publish('pay', 'a')\n"
        "client.subscribe('pay', print)\n"
        "import atexit\n"
        "began = time.monotonic()\n"
        "atexit._run_exitfuncs()\n"
        "print(time.monotonic() - began)\n"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 1.0


def test_a_program_that_ends_without_close_sends_bye(session: FakeSession) -> None:
    done, _ = run_program(
        "import sys, zreg\n"
        "client = zreg.Client(sys.argv[1], cluster='test')\n"
        "client.publish('pay', 'a').wait_registered(10)\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: session.core.count(Bye) == 1)


def test_a_wait_can_be_interrupted() -> None:
    text = (
        "import signal, zreg\n"
        # The program that runs the tests may ignore the signal, and a child inherits that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "client = zreg.Client('zreg://127.0.0.1:1')\n"
        "print('waiting', flush=True)\n"
        "client.wait_connected(30)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        started_at = time.monotonic()
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=10)

    assert "KeyboardInterrupt" in errors
    assert time.monotonic() - started_at < 9.0, "it waits for 30 s"


def test_a_forked_child_cannot_use_the_client_and_the_parent_still_can(
    session: FakeSession,
) -> None:
    done, _ = run_program(
        "import os, sys, zreg\n"
        "client = zreg.Client(sys.argv[1], cluster='test')\n"
        "pub = client.publish('pay', 'a').wait_registered(10)\n"
        "sub = client.subscribe('pay').wait_for(1, timeout_seconds=10)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    calls = (lambda: client.publish('pay', 'b'), lambda: client.subscribe('pay'),\n"
        "             lambda: sub.view, lambda: pub.republish('b'), pub.unpublish, sub.close,\n"
        "             lambda: client.wait_connected(1), client.statistics)\n"
        "    for call in calls:\n"
        "        try:\n"
        "            call()\n"
        "        except zreg.ClosedError:\n"
        "            continue\n"
        "        os._exit(1)\n"
        "    with sub, pub:\n"
        "        pass\n"
        "    client.close()\n"
        "    with zreg.Client(sys.argv[1], cluster='test') as fresh:\n"
        "        fresh.publish('pay', 'child').wait_registered(10)\n"
        "    sys.exit(7)\n"
        "_, status = os.waitpid(child, 0)\n"
        "assert os.waitstatus_to_exitcode(status) == 7, status\n"
        "pub.republish('c')\n"
        "pub.wait_registered(10)\n"
        "sub.wait_until(lambda: 'c' in sub.view.values, timeout_seconds=10, wanted=str)\n",
        session.url,
    )

    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: session.core.count(Bye) == 2)


def test_importing_zreg_is_cheap_and_loads_no_node_package() -> None:
    done, _ = run_program(
        "import sys, time, zmq, msgspec, msgpack\n"
        "began = time.perf_counter()\n"
        "import zreg\n"
        "cost = time.perf_counter() - began\n"
        "zreg.Client, zreg.Scope, zreg.TimeoutError\n"
        "assert 'Client' in dir(zreg)\n"
        "nodes = ('zreg.cli.', 'zreg.session', 'zreg.data', 'zreg.meta', 'zreg.http')\n"
        "nodes += ('aiohttp', 'loguru', 'typer')\n"
        "print(cost, [name for name in sys.modules if name.startswith(nodes)])\n"
        "try:\n"
        "    zreg.nothing\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    cost, rest = done.stdout.split(" ", 1)

    assert (done.returncode, done.stderr) == (0, "")
    assert float(cost) < 0.05
    assert rest == "[]\nmodule 'zreg' has no attribute 'nothing'\n"
