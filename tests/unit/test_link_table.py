"""Which addresses a link may have."""

import pytest

from zreg.reactor.link_table import check_address, is_ipv6


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:1",
        "tcp://host-1.example:9600",
        "tcp://[::1]:65535",
        "tcp://[fe80::1%br-lan]:9600",
        "tcp://*:80",
    ],
)
def test_addresses_that_can_work_pass(address: str) -> None:
    check_address(address, port_min=1)
    assert is_ipv6(address) == ("[" in address)


@pytest.mark.parametrize(
    "address", ["", "tcp://", "tcp://h", "tcp://h:", "tcp://h:x", "tcp://h:0", "tcp://h:65536",
                "ipc:///x", "tcp://a b:1", "tcp://h:1;tcp://x:2", "tcp://h:1\n"]
)  # fmt: skip
def test_addresses_that_can_never_work_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="write tcp://HOST:PORT"):
        check_address(address, port_min=1)
