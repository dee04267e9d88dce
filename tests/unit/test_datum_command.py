"""`zreg ls` asks again while ids may be missing, and warns in the end."""

from collections.abc import Callable
from typing import Any

import pytest

from zreg.cli.asking.repeated_ask import RepeatedAsk
from zreg.cli.commands.data import datum_command
from zreg.cli.commands.data.datum_command import ls
from zreg.model import Version, data_info_id
from zreg.wire.records.data_messages import DatumsListed, DatumSummary

PAY = DatumSummary(data_info_id("pay"), Version(1, 2), 3)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[[DatumsListed], list[DatumsListed]]:
    """Return what has the session answer, one answer after the other; after the last time is up."""

    def answer_with(*answers: DatumsListed) -> list[DatumsListed]:
        left = list(answers)
        monkeypatch.setattr(RepeatedAsk, "has_time", lambda _: bool(left))
        monkeypatch.setattr(RepeatedAsk, "pause", lambda _: None)

        def ask(_target: object, question: tuple[Any, type], **_options: object) -> object:
            if question[1] is not DatumsListed:
                return None
            return left.pop(0)

        monkeypatch.setattr(datum_command, "ask_now", ask)
        return left

    return answer_with


def test_a_list_that_may_lack_ids_is_asked_for_again(
    listed: Callable[..., list[DatumsListed]], capsys: pytest.CaptureFixture[str]
) -> None:
    unsure = DatumsListed(0, (), is_unsure=True)
    left = listed(unsure, unsure, DatumsListed(0, (PAY,)))

    ls(url="zreg://127.0.0.1:9600")

    shown = capsys.readouterr()
    assert "pay" in shown.out
    assert (shown.err, left) == ("", [])


def test_a_list_that_still_may_lack_ids_is_shown_with_a_warning(
    listed: Callable[..., list[DatumsListed]], capsys: pytest.CaptureFixture[str]
) -> None:
    listed(*[DatumsListed(0, (PAY,), is_unsure=True)] * 3)

    ls(url="zreg://127.0.0.1:9600")

    shown = capsys.readouterr()
    assert "pay" in shown.out
    assert shown.err.startswith("zreg: there may be more ids: ")
