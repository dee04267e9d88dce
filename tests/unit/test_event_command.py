"""How `zreg events` writes what happened: durations, JSON, and nodes that do not answer."""

import pytest

from zreg.cli.asking.whole_cluster.node_events import NodeEvent, Silence
from zreg.cli.commands.event_command import event_json, seconds_of, silence_text
from zreg.effects import WARNING
from zreg.errors import UsageError
from zreg.wire.records.common_messages import Event


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("2d", 172_800.0), ("0.5s", 0.5)],
)
def test_a_duration_has_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "h", "-1h", "1 h", "1w", "1e9h", "9999999s", "\u0661h"])
def test_other_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="as in 10m"):
        seconds_of(text)


def test_an_event_for_programs_has_the_time_of_this_machine() -> None:
    event = Event(7, 1500, WARNING, "member.departed", "data-2@7", "reason=gone")

    shown = event_json(NodeEvent(1_800_000_000.25, "meta-1", event))
    assert isinstance(shown, dict)
    assert str(shown.pop("time"))[14:23] == "00:00.250"
    assert shown == {
        "node_id": "meta-1",
        "number": 7,
        "level": "warning",
        "kind": "member.departed",
        "subject": "data-2@7",
        "detail": "reason=gone",
    }


def test_a_node_that_does_not_answer_is_named_with_the_reason_and_what_to_do() -> None:
    assert silence_text(Silence("data-2", "refused")) == (
        "the events of data-2 are missing (refused): see `zreg nodes`, and the log of that node"
    )
