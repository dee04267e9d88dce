"""One machine of a LAN: a network namespace with an interface `eth0` and a host name of its own."""

import subprocess
import sys
from typing import Final

from zreg.testing.processes.machines.ip_command import run_ip
from zreg.testing.processes.running_command import (
    START_SECONDS_MAX,
    Running,
    clean_environment,
    zreg_command,
)

_PREFIX_LENGTH: Final = 24
# Take the host name from the first argument, and become the command in the others.
_BECOME: Final = 'hostname "$0" && exec "$@"'
# Send the payloads in hexadecimal digits, one after the other, to a multicast group.
_SEND: Final = """
import socket, sys
group, port, host, *payloads = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    for payload in payloads:
        sender.sendto(bytes.fromhex(payload), (group, int(port)))
"""


class Machine:
    """Runs commands as on a machine of its own, with its own addresses, ports and host name.

    Its `eth0` is one end of a wire; the other end is a port of the bridge that is the LAN. Files
    are those of this machine.
    """

    def __init__(self, name: str, namespace: str, bridge_namespace: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self._bridge_namespace = bridge_namespace

    def __repr__(self) -> str:
        """Show name and address."""
        return f"<Machine {self.name} {self.address}>"

    # --- commands -----------------------------------------------------------------------------

    def command(self, *command: str) -> list[str]:
        """Return the command line that runs a command on this machine."""
        become = ("unshare", "--uts", "sh", "-c", _BECOME, self.name)
        return ["ip", "netns", "exec", self.namespace, *become, *command]

    def start(self, *command: str, environment: dict[str, str] | None = None) -> Running:
        """Start a command; it ends with the `with` block of `Running`, or with the LAN."""
        return Running(self.command(*command), environment=environment)

    def start_zreg(self, *arguments: str, environment: dict[str, str] | None = None) -> Running:
        """Start a `zreg` command."""
        return self.start(*zreg_command(*arguments), environment=environment)

    def start_python(self, program: str, *arguments: str) -> Running:
        """Start a Python program, given as text; what it prints comes line by line."""
        return self.start(sys.executable, "-u", "-c", program, *arguments)

    def run(
        self, *command: str, timeout_seconds: float = START_SECONDS_MAX
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command until it ends."""
        return subprocess.run(  # noqa: S603 -- the command of a test
            self.command(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env=clean_environment(),
            check=False,
        )

    def run_zreg(
        self, *arguments: str, timeout_seconds: float = START_SECONDS_MAX
    ) -> "subprocess.CompletedProcess[str]":
        """Run a `zreg` command until it ends."""
        return self.run(*zreg_command(*arguments), timeout_seconds=timeout_seconds)

    def send_multicast(
        self, *payloads: bytes, group: str = "224.0.0.251", port: int = 5353
    ) -> None:
        """Send datagrams to all machines of the LAN that listen; the default is multicast DNS."""
        to = (group, str(port), self.address)
        done = self.run(sys.executable, "-c", _SEND, *to, *(each.hex() for each in payloads))
        if done.returncode:
            raise OSError(f"nothing was sent to {group}:{port}: {done.stderr.strip()}")

    # --- its network --------------------------------------------------------------------------

    def ip(self, *arguments: str) -> str:
        """Run `ip` for this machine, to give it further interfaces for example."""
        return run_ip("-n", self.namespace, *arguments)

    def cut(self) -> None:
        """Cut the wire to the LAN: the machine keeps its address and gets nothing any more."""
        run_ip("-n", self._bridge_namespace, "link", "set", self.name, "down")

    def mend(self) -> None:
        """Undo `cut`."""
        run_ip("-n", self._bridge_namespace, "link", "set", self.name, "up")

    def take_down(self) -> None:
        """Take `eth0` down: its routes are gone, its IPv4 address stays."""
        self.ip("link", "set", "eth0", "down")

    def bring_up(self) -> None:
        """Undo `take_down`."""
        self.ip("link", "set", "eth0", "up")
        self._add_default_route()

    def take_address(self) -> None:
        """Take the address away, as when the lease of DHCP ends."""
        self.ip("addr", "del", f"{self.address}/{_PREFIX_LENGTH}", "dev", "eth0")

    def give_address(self, address: str) -> None:
        """Give `eth0` an address."""
        self.ip("addr", "add", f"{address}/{_PREFIX_LENGTH}", "dev", "eth0")
        self.address = address
        self._add_default_route()

    def _add_default_route(self) -> None:
        # As a gateway of the LAN would be: multicast needs a route, too.
        self.ip("route", "replace", "default", "dev", "eth0")
