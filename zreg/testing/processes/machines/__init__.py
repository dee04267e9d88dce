"""Machines on a LAN, as network namespaces of this one; needs Linux, root and iproute2."""

from zreg.testing.processes.machines.machine import Machine
from zreg.testing.processes.machines.machine_lan import MachineLan, why_no_machines

__all__ = ["Machine", "MachineLan", "why_no_machines"]
