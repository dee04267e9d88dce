"""The state of a client's connection, and the host to publish for its machine."""

import pytest

from zreg.client.core.commands import ClientState, ConnectionChanged, SessionReached
from zreg.client.runtime.events.connection_status import ConnectionStatus

ADDRESSES = ("tcp://10.0.0.7:9600", "tcp://10.0.0.8:9600")


def make_status(*, advertise_host: str | None = None) -> ConnectionStatus:
    return ConnectionStatus(ADDRESSES, advertise_host=advertise_host)


def test_before_the_first_attempt_it_says_what_to_check() -> None:
    status = make_status()

    assert status.state is ClientState.CONNECTING
    assert status.why_waiting().startswith(
        "no session reached at 10.0.0.7:9600, 10.0.0.8:9600: check host and port"
    )


def test_a_failed_attempt_is_named_with_its_reason() -> None:
    status = make_status()
    status.on_connection_changed(
        ConnectionChanged(ClientState.CONNECTING, "tcp://10.0.0.8:9600", "refused")
    )

    assert "10.0.0.8:9600 (last: 10.0.0.8:9600: refused): check" in status.why_waiting()


@pytest.mark.parametrize(
    "detail",
    [
        "it is of cluster 'x': give the name of its cluster with --cluster",
        "it refused the greeting: a data node does not take Hello: ask a session",
    ],
)
def test_what_has_answered_says_itself_what_to_do(detail: str) -> None:
    status = make_status()
    status.on_connection_changed(
        ConnectionChanged(ClientState.CONNECTING, "tcp://10.0.0.8:9600", detail)
    )

    assert status.why_waiting().endswith(f"{detail}): do what the reason says")


def test_a_connected_client_names_its_session() -> None:
    status = make_status()
    status.on_connection_changed(ConnectionChanged(ClientState.CONNECTED, ADDRESSES[0], "welcome"))

    assert status.why_waiting() == "connected to the session at tcp://10.0.0.7:9600"


def test_the_local_host_is_that_of_the_connection_to_the_last_session_that_was_reached() -> None:
    status = make_status()
    assert status.local_host is None

    status.on_session_reached(SessionReached(ADDRESSES[0], "10.0.0.1"))
    status.on_connection_changed(ConnectionChanged(ClientState.SUSPENDED, ADDRESSES[1], "refused"))
    assert status.local_host == "10.0.0.1"
    status.on_session_reached(SessionReached(ADDRESSES[1], "fd00::1"))
    assert status.local_host == "fd00::1"
    status.on_session_reached(SessionReached(ADDRESSES[1]))
    assert status.local_host is None


def test_an_advertised_host_is_published_whatever_the_connection_shows() -> None:
    status = make_status(advertise_host="pay.example.org")
    assert status.local_host == "pay.example.org"
    status.on_session_reached(SessionReached(ADDRESSES[0], "10.0.0.1"))
    assert status.local_host == "pay.example.org"


def test_a_link_local_end_of_the_connection_is_not_published_and_the_reason_is_told() -> None:
    status = make_status()
    status.on_session_reached(SessionReached(ADDRESSES[0], "fe80::1%eth0"))
    status.on_connection_changed(ConnectionChanged(ClientState.CONNECTED, ADDRESSES[0], "welcome"))

    assert status.local_host is None
    waiting = status.why_waiting()
    assert waiting.startswith(
        "connected to the session at tcp://10.0.0.7:9600, but fe80::1%eth0 is"
    )
    assert waiting.endswith(", or set ZREG_ADVERTISE_HOST")
    status.on_session_reached(SessionReached(ADDRESSES[1], "fd00::1"))
    assert status.local_host == "fd00::1"
    assert status.why_waiting() == "connected to the session at tcp://10.0.0.8:9600"


def test_over_loopback_the_way_to_the_sessions_shows_where_other_machines_reach_this_one() -> None:
    status = make_status()
    status.on_session_reached(SessionReached("tcp://127.0.0.1:9600", "127.0.0.1"))
    assert status.local_host is None, "not known yet"

    status.on_session_welcomed(["", "fe80::1%eth0", "127.0.0.1", "10.0.0.7", "10.9.0.7"])

    assert status.local_host == "10.0.0.7"


def test_with_all_sessions_on_loopback_the_endpoint_is_on_loopback() -> None:
    for ends in ([], ["127.0.0.1", "127.0.0.2"]):
        status = make_status()
        status.on_session_reached(SessionReached("tcp://127.0.0.1:9600", "127.0.0.1"))
        status.on_session_welcomed(ends)

        assert status.local_host == "127.0.0.1"


def test_an_advertised_host_goes_before_what_a_session_on_this_machine_shows() -> None:
    status = make_status(advertise_host="pay.example.org")
    status.on_session_reached(SessionReached("tcp://127.0.0.1:9600", "127.0.0.1"))
    status.on_session_welcomed(["10.0.0.7"])

    assert status.local_host == "pay.example.org"
