"""What the hook for gunicorn publishes, for each kind of listening socket."""

import pytest

import zreg
from zreg.integrations.gunicorn import bound_endpoint


class Listener:
    def __init__(self, address: object) -> None:
        self._address = address

    def getsockname(self) -> object:
        return self._address


@pytest.mark.parametrize(
    ("addresses", "endpoint"),
    [
        ([("10.0.0.7", 8080)], zreg.Endpoint("10.0.0.7", 8080)),
        # zreg fills in the address of this machine.
        ([("0.0.0.0", 8080)], zreg.Endpoint(port=8080)),  # noqa: S104 -- a server may be bound to it
        ([("::", 8080, 0, 0)], zreg.Endpoint(port=8080)),
        ([("fd00::7", 8080, 0, 0)], zreg.Endpoint("fd00::7", 8080)),
        (["/run/app.sock", ("10.0.0.7", 1)], zreg.Endpoint("10.0.0.7", 1)),
    ],
)
def test_the_first_socket_with_a_port_is_published(
    addresses: list[object], endpoint: zreg.Endpoint
) -> None:
    assert bound_endpoint([Listener(each) for each in addresses]) == endpoint


@pytest.mark.parametrize("addresses", [[], ["/run/app.sock"]])
def test_a_server_without_a_port_needs_an_endpoint(addresses: list[object]) -> None:
    with pytest.raises(zreg.UsageError, match=r"give publishing\(\) an endpoint"):
        bound_endpoint([Listener(each) for each in addresses])
