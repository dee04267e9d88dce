"""A node that would need one of its ports twice is told so, not to stop another process."""

import pytest

from zreg.cli.process.own_ports import check_own_ports
from zreg.errors import UsageError


def test_the_ports_of_a_node_differ() -> None:
    check_own_ports({"--port": 9610, "--pub-port": 9612, "--http-port": None, "--peer m": 9611})
    check_own_ports({"--port": 0, "--pub-port": 0, "--http-port": 0})


def test_two_options_with_one_port_are_named() -> None:
    with pytest.raises(UsageError) as caught:
        check_own_ports({"--port": 9610, "--pub-port": 9612, "--peer m": 9610})
    assert str(caught.value) == (
        "port 9610 of this node is that of --port and of --peer m, and each needs its own: give "
        "--peer m another port"
    )
