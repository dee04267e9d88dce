"""What `zreg doctor` finds on a machine."""

import pytest
from msgspec.structs import replace

from zreg.cli.process.own_machine import Machine
from zreg.cli.showing.cluster_findings import State
from zreg.cli.showing.machine_findings import machine_findings

WELL = Machine(65_536, True, (32_768, 60_999), ())  # noqa: FBT003 -- a fact


def test_a_machine_that_suits_has_no_finding() -> None:
    assert machine_findings(WELL) == []
    assert machine_findings(Machine(4096, None, None, ())) == []


@pytest.mark.parametrize(
    ("machine", "what", "advice"),
    [
        (replace(WELL, open_files_max=1024), "a process may open 1024 files", "LimitNOFILE"),
        (replace(WELL, is_clock_corrected=False), "nothing corrects the clock", "chrony"),
        (replace(WELL, outgoing_ports=(1024, 65_535)), "the kernel gives the ports 1024", "sysctl"),
        (replace(WELL, missing_libraries=("aiohttp",)), "libraries are missing: aiohttp", "pip"),
    ],
)
def test_what_may_harm_a_node_is_named_with_what_to_do(
    machine: Machine, what: str, advice: str
) -> None:
    (finding,) = machine_findings(machine)

    assert finding.state is State.WARNING
    assert finding.what.startswith(what)
    assert advice in finding.advice
