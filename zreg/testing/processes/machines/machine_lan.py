"""A LAN of machines: network namespaces that a bridge in a namespace of its own joins.

The network of this machine stays as it is: nothing of the LAN is in its namespace.
"""

import itertools
import os
import shutil
from typing import Final, Self

from zreg.testing.processes.machines.ip_command import (
    add_namespace,
    remove_leftovers,
    remove_namespace,
    run_ip,
)
from zreg.testing.processes.machines.machine import Machine
from zreg.testing.processes.with_block import WithBlock

_MACHINES_MAX: Final = 90
_NEEDED: Final = {"ip": "iproute2", "unshare": "util-linux", "hostname": "hostname"}
_numbers = itertools.count(1)


class MachineLan(WithBlock):
    """Machines `m1`, `m2`, … at 10.77.0.1, 10.77.0.2, …, until the `with` block ends.

    with MachineLan(3) as lan:
        one, two, three = lan.machines
        one.start_zreg("meta", "--host", "0.0.0.0", …)
    """

    def __init__(self, machine_count: int, *, network: str = "10.77.0") -> None:
        assert 1 <= machine_count <= _MACHINES_MAX
        self.machines: list[Machine] = []
        self._count = machine_count
        self._network = network
        self._number = next(_numbers)
        self._namespaces: list[str] = []

    def __enter__(self) -> Self:
        """Make the machines; raises `OSError` where that is not allowed (`why_no_machines`)."""
        remove_leftovers()
        try:
            self._bridge = self._add("bridge")
            self._make_bridge()
            for _ in range(self._count):
                self.add_machine()
        except BaseException:
            self.close()
            raise
        return self

    def add_machine(self) -> Machine:
        """Join a further machine to the LAN."""
        place = len(self.machines) + 1
        name, address = f"m{place}", f"{self._network}.{place}"
        namespace = self._add(name)
        wire = ("type", "veth", "peer", "name", name, "netns", self._bridge)
        run_ip("-n", namespace, "link", "add", "eth0", *wire)
        run_ip("-n", self._bridge, "link", "set", name, "master", "lan", "up")
        machine = Machine(name, namespace, self._bridge, address)
        run_ip("-n", namespace, "link", "set", "eth0", "up")
        machine.give_address(address)
        self.machines.append(machine)
        return machine

    def remove_machine(self, machine: Machine) -> None:
        """Take a machine away for good, with all that runs on it."""
        self._namespaces.remove(machine.namespace)
        remove_namespace(machine.namespace)

    def close(self) -> None:
        """Remove what was made so far."""
        while self._namespaces:
            remove_namespace(self._namespaces.pop())

    def _add(self, name: str) -> str:
        namespace = add_namespace(f"{self._number}-{name}")
        self._namespaces.append(namespace)
        return namespace

    def _make_bridge(self) -> None:
        # Without snooping every port gets every multicast, as from a plain switch.
        options = ("type", "bridge", "forward_delay", "0", "stp_state", "0", "mcast_snooping", "0")
        run_ip("-n", self._bridge, "link", "add", "lan", *options)
        run_ip("-n", self._bridge, "link", "set", "lan", "up")


def why_no_machines() -> str | None:
    """Return why this process can make no machines; None if it can."""
    if os.geteuid():
        return "network namespaces need root: run the tests as root to have machines"
    for command, package in _NEEDED.items():
        if shutil.which(command) is None:
            return f"no {command} here: install {package}"
    try:
        with MachineLan(1, network="10.78.0"):
            return None
    except OSError as error:
        return f"no network namespaces can be made here: {error}"
