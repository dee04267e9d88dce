"""The state of a client's connection, and the host to publish for its machine."""

import pytest

from zreg.client.core.commands import ClientState, ConnectionChanged, SessionReached
from zreg.client.runtime.connection_status import ConnectionStatus, find_local_host

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


def test_a_connected_client_names_its_session() -> None:
    status = make_status()
    status.on_connection_changed(ConnectionChanged(ClientState.CONNECTED, ADDRESSES[0], "welcome"))

    assert status.why_waiting() == "connected to the session at tcp://10.0.0.7:9600"


def test_the_local_host_is_the_one_of_the_route_to_the_last_session_that_was_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def find(address: str) -> str:
        asked.append(address)
        return f"host-{len(asked)}"

    monkeypatch.setattr("zreg.client.runtime.connection_status.find_local_host", find)
    status = make_status()
    assert status.local_host() is None

    status.on_session_reached(SessionReached(ADDRESSES[0]))
    assert [status.local_host(), status.local_host()] == ["host-1", "host-1"]
    status.on_connection_changed(ConnectionChanged(ClientState.SUSPENDED, ADDRESSES[1], "refused"))
    assert status.local_host() == "host-1"
    status.on_session_reached(SessionReached(ADDRESSES[1]))
    assert status.local_host() == "host-2"
    assert asked == list(ADDRESSES)


def test_an_advertised_host_is_published_without_a_session() -> None:
    assert make_status(advertise_host="pay.example.org").local_host() == "pay.example.org"


def test_the_local_host_of_a_route_to_loopback_is_loopback() -> None:
    assert find_local_host("tcp://127.0.0.1:9600") == "127.0.0.1"


@pytest.mark.parametrize("address", ["ipc://x", "tcp://" + "x" * 70 + ":1", "tcp://h:99999"])
def test_without_a_route_there_is_no_local_host(address: str) -> None:
    assert find_local_host(address) is None
