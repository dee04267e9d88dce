"""On which interfaces a node is announced, and with which addresses."""

import pytest

from zreg.discovery.announcement import Interface
from zreg.discovery.interfaces.interface_kind import Kind
from zreg.discovery.interfaces.reach import (
    INTERFACES_MAX,
    MachineInterface,
    Reach,
    chosen_interfaces,
)
from zreg.hosts import is_loopback_host

ETH0 = MachineInterface(Interface("eth0"), 2, ("10.0.0.7", "fd00::7", "fe80::7"))
ETH1 = MachineInterface(Interface("eth1"), 3, ("192.168.1.7", "169.254.1.1"))
LO = MachineInterface(Interface("lo", is_loopback=True), 1, ("127.0.0.1", "::1"))
ALL = [LO, ETH0, ETH1]


def reach(host: str, advertise_host: str = "") -> Reach:
    return Reach(bound_host=host, port=9610, advertise_host=advertise_host)


@pytest.mark.parametrize(
    ("host", "interface", "hosts"),
    [
        ("0.0.0.0", ETH0, ["10.0.0.7"]),  # noqa: S104
        ("*", ETH1, ["192.168.1.7", "169.254.1.1"]),
        ("::", ETH0, ["10.0.0.7", "[fd00::7]", "[fe80::7]"]),
        ("10.0.0.7", ETH0, ["10.0.0.7"]),
        ("10.0.0.7", ETH1, []),
        ("FD00::7", ETH0, ["[fd00::7]"]),
        ("fe80::7%eth0", ETH0, ["[fe80::7]"]),
        ("127.0.0.1", ETH0, []),
        ("127.0.0.1", LO, ["127.0.0.1"]),
        ("a-name", ETH0, []),
    ],
)
def test_the_addresses_of_a_node_on_an_interface(
    host: str, interface: MachineInterface, hosts: list[str]
) -> None:
    assert reach(host).addresses_on(interface) == tuple(f"tcp://{each}:9610" for each in hosts)


def test_an_advertised_address_replaces_them_and_a_name_does_not() -> None:
    assert reach("0.0.0.0", "198.51.100.1").addresses_on(ETH0) == (  # noqa: S104
        "tcp://198.51.100.1:9610",
    )
    assert reach("10.0.0.7", "198.51.100.1").addresses_on(ETH1) == ()
    assert reach("0.0.0.0", "pay.example.org").addresses_on(ETH0) == (  # noqa: S104
        "tcp://10.0.0.7:9610",
    )


@pytest.mark.parametrize(
    ("host", "names", "chosen"),
    [
        ("0.0.0.0", (), [ETH0, ETH1]),  # noqa: S104
        ("0.0.0.0", ("lo", "eth1"), [LO, ETH1]),  # noqa: S104
        ("10.0.0.7", (), [ETH0]),
        ("10.0.0.7", ("eth1",), []),
        ("127.0.0.1", (), [LO]),
        ("fd00::9", (), []),
    ],
)
def test_the_interfaces_of_a_node(
    host: str, names: tuple[str, ...], chosen: list[MachineInterface]
) -> None:
    assert chosen_interfaces(ALL, names=names, reach=reach(host)) == chosen


def test_a_machine_without_a_network_uses_loopback() -> None:
    assert chosen_interfaces([LO], reach=reach("0.0.0.0")) == [LO]  # noqa: S104


DOCKER = MachineInterface(Interface("docker0"), 4, ("172.17.0.1",))
BRIDGE = MachineInterface(Interface("mine"), 5, ("172.18.0.1",), Kind.CONTAINERS)
TUNNEL = MachineInterface(Interface("wg0"), 6, ("10.9.0.7",))


def test_bridges_of_containers_and_tunnels_are_left_out_unless_they_are_named() -> None:
    inside = [DOCKER, BRIDGE, TUNNEL]
    everywhere = reach("0.0.0.0")  # noqa: S104

    assert chosen_interfaces([*inside, *ALL], reach=everywhere) == [ETH0, ETH1]
    assert chosen_interfaces([*inside, *ALL]) == ALL
    assert chosen_interfaces([*inside, LO], reach=everywhere) == [LO]
    named = ("docker0", "mine", "wg0", "eth0")
    assert chosen_interfaces([*inside, *ALL], names=named, reach=everywhere) == [*inside, ETH0]
    assert chosen_interfaces([*inside, *ALL], names=named) == [*inside, ETH0]
    assert chosen_interfaces([*inside, *ALL], reach=reach("10.9.0.7")) == [TUNNEL]


def test_a_client_uses_all_interfaces_up_to_a_bound() -> None:
    many = [MachineInterface(Interface(f"eth{n}"), n, ("10.0.0.7",)) for n in range(100)]

    assert chosen_interfaces(ALL) == ALL
    assert chosen_interfaces(ALL, names=("eth1",)) == [ETH1]
    assert len(chosen_interfaces(many)) == INTERFACES_MAX


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.7", False),
        ("0.0.0.0", False),  # noqa: S104
        ("*", False),
        ("fe80::1%eth0", False),
    ],
)
def test_what_is_loopback(host: str, is_loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback_host(host) is is_loopback
