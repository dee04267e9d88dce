"""What a network interface leads to: a network, or containers, virtual machines or a tunnel.

Networks that exist inside a machine only, and tunnels, are none where nodes find each other by
themselves: an operator names them.
"""

import enum
import re
from typing import Final

# Names that container engines, virtual machines and tunnels give to their interfaces.
_CONTAINER_NAMES: Final = re.compile(
    r"(docker|br-[0-9a-f]{12}|podman|veth|vnet|virbr|vboxnet|vmnet|lxcbr|lxdbr|incusbr|cni|cbr|"
    r"cali|flannel|cilium|lxc|weave|kube-|nodelocaldns|dummy|ifb)"
)
_TUNNEL_NAMES: Final = re.compile(
    r"(tun|tap|wg|tailscale|utun|ppp|ipsec|vti|gre|gretap|erspan|sit|ip6tnl|tunl|ip6gre|nebula)"
    r"(\d|[-_.]|\Z)|zt[0-9a-z]{8}"
)


class Kind(enum.Enum):
    """What an interface leads to; the value is for people."""

    NETWORK = "a network"
    LOOPBACK = "this machine only"
    CONTAINERS = "containers or virtual machines of this machine"
    TUNNEL = "a tunnel"


def kind_of(name: str, kind_in_kernel: Kind = Kind.NETWORK) -> Kind:
    """Return what an interface leads to, as the kernel tells and as its name tells."""
    if kind_in_kernel is not Kind.NETWORK:
        return kind_in_kernel
    if _CONTAINER_NAMES.match(name):
        return Kind.CONTAINERS
    return Kind.TUNNEL if _TUNNEL_NAMES.match(name) else Kind.NETWORK
