"""What on a machine may harm a node, and what to do about it; pure, so that tests compare."""

from typing import Final

from zreg.cli.process.own_machine import Machine
from zreg.cli.showing.cluster_findings import Finding, State

# Each client of a session takes a descriptor.
_OPEN_FILES_MIN: Final = 4096
_DEFAULT_PORTS: Final = range(9600, 9623)


def machine_findings(machine: Machine) -> list[Finding]:
    """Return what is wrong with a machine that runs nodes."""
    found = []
    if machine.open_files_max < _OPEN_FILES_MIN:
        what = f"a process may open {machine.open_files_max} files, and each client takes one"
        advice = "raise it: `ulimit -n 65536` in the shell, LimitNOFILE=65536 in a systemd unit"
        found.append(Finding(State.WARNING, what, advice))
    if machine.is_clock_corrected is False:
        what = (
            "nothing corrects the clock of this machine, so times in logs and of registrations "
            "may be wrong; leases do not depend on it"
        )
        advice = "run chrony or systemd-timesyncd; in a virtual machine, see its host"
        found.append(Finding(State.WARNING, what, advice))
    ports = machine.outgoing_ports
    if ports is not None and ports[0] < _DEFAULT_PORTS.stop and ports[1] >= _DEFAULT_PORTS.start:
        what = (
            f"the kernel gives the ports {ports[0]} to {ports[1]} to outgoing connections, those "
            "of zreg among them, so a node may find its port in use"
        )
        advice = "sysctl -w net.ipv4.ip_local_port_range='32768 60999', or reserve 9600-9622"
        found.append(Finding(State.WARNING, what, advice))
    if machine.missing_libraries:
        what = f"libraries are missing: {', '.join(machine.missing_libraries)}"
        found.append(Finding(State.WARNING, what, "pip install 'zreg[node]'"))
    return found
