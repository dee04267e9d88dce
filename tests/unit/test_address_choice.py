"""Which address of a machine is told to others: by the ways to other nodes, then by interface."""

import pytest

from zreg.discovery.interfaces.interface_kind import Kind, kind_of
from zreg.nodes.addresses.address_choice import (
    Chosen,
    Interface,
    Undecided,
    choose_host,
)

ANY, ANY_IPV6 = "0.0.0.0", "::"  # noqa: S104 -- nothing is bound
LO = Interface("lo", ("127.0.0.1", "::1"), Kind.LOOPBACK)
ETH0 = Interface("eth0", ("10.0.0.7", "fd00::7", "fe80::7"))
ETH1 = Interface("eth1", ("192.168.1.7",))
IPV6_ONLY = Interface("eth0", ("fe80::7", "fd00::7"))
LINK_LOCAL_ONLY = Interface("eth0", ("fe80::7",))
SELF_ASSIGNED = Interface("eth2", ("169.254.3.4",))
DOCKER = Interface("docker0", ("172.17.0.1",), Kind.CONTAINERS)
WIREGUARD = Interface("wg0", ("10.9.0.7",), Kind.TUNNEL)


def choose(
    *interfaces: Interface, bound: str = ANY, ways: tuple[str, ...] = (), has_peers: bool = False
) -> Chosen | Undecided:
    return choose_host(bound, (LO, *interfaces), ways, has_peers=has_peers or bool(ways))


@pytest.mark.parametrize(
    ("interfaces", "bound", "ways", "host"),
    [
        # The way to the other nodes decides, also through a tunnel or a bridge of containers.
        ((ETH0, ETH1), ANY, ("192.168.1.7",), "192.168.1.7"),
        ((ETH0, WIREGUARD), ANY, ("10.9.0.7", "10.9.0.7"), "10.9.0.7"),
        ((ETH0, DOCKER), ANY, ("172.17.0.1",), "172.17.0.1"),
        ((ETH0,), ANY_IPV6, ("fd00::7",), "fd00::7"),
        # A way that this binding does not serve, or that ends at this machine, decides nothing.
        ((ETH0,), ANY, ("fd00::7",), "10.0.0.7"),
        ((ETH0,), ANY, ("127.0.0.1",), "10.0.0.7"),
        ((ETH0,), ANY_IPV6, ("fe80::7%eth0", "::1"), "10.0.0.7"),
        # Without a way the only candidate is taken: the first lasting address, IPv4 before IPv6.
        ((ETH0,), ANY, (), "10.0.0.7"),
        ((ETH0,), "*", (), "10.0.0.7"),
        ((ETH0,), ANY_IPV6, (), "10.0.0.7"),
        ((IPV6_ONLY,), ANY_IPV6, (), "fd00::7"),
        ((DOCKER, WIREGUARD, ETH1), ANY, (), "192.168.1.7"),
        ((LINK_LOCAL_ONLY, ETH1), ANY_IPV6, (), "192.168.1.7"),
        # A self-assigned address is taken where there is no better one.
        ((SELF_ASSIGNED,), ANY, (), "169.254.3.4"),
        ((SELF_ASSIGNED, ETH1), ANY, (), "192.168.1.7"),
        ((), ANY, (), "127.0.0.1"),
    ],
)
def test_one_address_is_chosen(
    interfaces: tuple[Interface, ...], bound: str, ways: tuple[str, ...], host: str
) -> None:
    found = choose(*interfaces, bound=bound, ways=ways)

    assert isinstance(found, Chosen), found
    assert found.host == host


@pytest.mark.parametrize(
    ("interfaces", "bound", "ways", "has_peers", "parts"),
    [
        (
            (ETH0, ETH1, DOCKER),
            ANY,
            (),
            False,
            (
                "say with --advertise-host which one others reach: 10.0.0.7 (eth0), 192.168.1.7",
                "Left out: docker0 172.17.0.1 (containers or virtual",
            ),
        ),
        ((ETH1, IPV6_ONLY), ANY_IPV6, (), False, ("192.168.1.7 (eth1), fd00::7 (eth0)",)),
        (
            (ETH0, ETH1),
            ANY,
            ("10.0.0.7", "192.168.1.7"),
            True,
            ("the ways to the other nodes begin at 10.0.0.7, 192.168.1.7: say with --advertise",),
        ),
        (
            (WIREGUARD, LINK_LOCAL_ONLY),
            ANY,
            (),
            False,
            (
                "no address that a node tells others by itself",
                "or bind to :: to use its IPv6 addresses",
                "wg0 10.9.0.7 (a tunnel)",
                "eth0 fe80::7 (not reached through this binding)",
            ),
        ),
        ((), ANY, (), True, ("no address but loopback", "is its network up?")),
    ],
)
def test_an_unclear_case_is_refused_with_what_to_do(
    interfaces: tuple[Interface, ...],
    bound: str,
    ways: tuple[str, ...],
    has_peers: bool,  # noqa: FBT001 -- a parameter of the table
    parts: tuple[str, ...],
) -> None:
    found = choose(*interfaces, bound=bound, ways=ways, has_peers=has_peers)

    assert isinstance(found, Undecided), found
    for part in parts:
        assert part in found.detail


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, Kind.NETWORK) for name in ("eth0", "enp3s0", "wlan0", "wlp2s0", "bond0", "ens18")),
        *((name, Kind.NETWORK) for name in ("br0", "br-lan", "vmbr0", "eth0.10", "tunis")),
        *((name, Kind.CONTAINERS) for name in ("docker0", "docker_gwbridge", "br-0123456789ab")),
        *(
            (name, Kind.CONTAINERS)
            for name in ("virbr0", "vethd3a1", "cni0", "flannel.1", "lxcbr0")
        ),
        *((name, Kind.CONTAINERS) for name in ("podman1", "cali12ab", "kube-ipvs0", "dummy0")),
        *((name, Kind.TUNNEL) for name in ("tun0", "tap1", "wg0", "wg-home", "tailscale0", "ppp0")),
        *((name, Kind.TUNNEL) for name in ("ztabcdef01", "sit0", "ip6tnl0", "gre0", "utun3")),
    ],
)
def test_the_name_of_an_interface_tells_what_it_leads_to(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind


def test_what_the_kernel_tells_goes_before_the_name() -> None:
    assert kind_of("eth0", Kind.TUNNEL) is Kind.TUNNEL
