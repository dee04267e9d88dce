"""How `zreg ring` reads the options of a plan."""

import pytest

from zreg.cli.commands.data.ring_command import ring_change
from zreg.errors import UsageError
from zreg.primitives.ring_plan import PlannedNode, RingChange


def test_the_options_of_a_plan_are_read() -> None:
    found = ring_change(["d4", "d5:2", "d6:3:rack 1:a"], ["d1"], ["d2=10"], 2)

    assert found == RingChange(
        added=(PlannedNode("d4"), PlannedNode("d5", 2), PlannedNode("d6", 3, "rack 1:a")),
        removed=("d1",),
        weights=(("d2", 10),),
        replica_count=2,
    )
    assert ring_change([], [], [], None) == RingChange()


@pytest.mark.parametrize("text", ["d4:", "d4:x", "d4::b", "d4:-1", "d4:1.5", "d4:\u0663"])
def test_a_weight_of_an_added_node_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--add .*: write ID:WEIGHT:ZONE, with a weight from 1 "):
        ring_change([text], [], [], None)


@pytest.mark.parametrize("text", ["d1", "d1=", "d1=x", "d1=2=3", "d1=" + "9" * 5000])
def test_a_new_weight_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--weight .*: write ID=WEIGHT, with a weight from 1 to"):
        ring_change([], [], [text], None)


def test_a_number_that_no_weight_is_has_its_range_named() -> None:
    with pytest.raises(UsageError, match=r"weight 1001 of d1 cannot be used: .* from 1 to 1000"):
        ring_change([], [], ["d1=1001"], None)
