"""The host to publish for this machine: the local end of the route to a session."""

import pytest

from zreg.client.runtime.local_host import find_local_host


def test_the_local_host_of_a_route_to_loopback_is_loopback() -> None:
    assert find_local_host("tcp://127.0.0.1:9600") == "127.0.0.1"


@pytest.mark.parametrize("address", ["ipc://x", "tcp://" + "x" * 70 + ":1", "tcp://h:99999"])
def test_without_a_route_there_is_no_local_host(address: str) -> None:
    assert find_local_host(address) is None
