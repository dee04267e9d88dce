"""Ports for nodes that learn each other's addresses before they are bound."""

import socket

import pytest

from zreg.cli.process import ports
from zreg.cli.process.ports import free_ports
from zreg.errors import UnavailableError


def test_the_ports_are_free_different_and_below_the_range_of_the_kernel() -> None:
    found = free_ports(20)

    assert len(set(found)) == 20
    assert max(found) < 32_768
    for port in found:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_port_in_use_is_skipped_and_too_few_ports_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        first = free_ports(1)[0]
        taken.bind(("127.0.0.1", first))
        monkeypatch.setattr(ports, "PORTS", range(first, first + 1))

        with pytest.raises(UnavailableError, match="no 1 free ports"):
            free_ports(1)
