"""Dialogs ask page after page, and end with what a program gets."""

import pytest

from zreg.client.core.commands import Answer, Question
from zreg.client.lookups.dialogs import (
    Dialog,
    PublishedId,
    R,
    Setting,
    list_dialog,
    setting_dialog,
    settings_dialog,
)
from zreg.errors import UnavailableError, UsageError
from zreg.model import DataInfoId, Version
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply
from zreg.wire.records.settings_messages import Setting as SettingRecord

V = Version(1, 2)


def converse(dialog: Dialog[R], *answers: Answer) -> tuple[list[Question], R]:
    """Give the answers, and return the questions and the result."""
    questions = [next(dialog)]
    for answer in answers:
        try:
            questions.append(dialog.send(answer))
        except StopIteration as end:
            return questions, end.value
    raise AssertionError(f"it asks on: {questions[-1]}")


def datum(name: str, count: int = 1) -> DatumSummary:
    return DatumSummary(DataInfoId(name), V, count)


def test_a_listing_asks_for_the_next_page_after_the_last_name() -> None:
    pages = (
        DatumsListed(1, (datum("a#@#I#@#G", 2), datum("b#@#I#@#G", 0)), is_complete=False),
        DatumsListed(2, (datum("c#@#J#@#H"), datum("no id of three parts"))),
    )

    questions, found = converse(list_dialog("*"), *pages)

    assert questions == [ListDatums(0, "*"), ListDatums(0, "*", "b#@#I#@#G")]
    assert found == (PublishedId("a", "I", "G", 2, V), PublishedId("c", "J", "H", 1, V))


def test_a_pattern_without_a_group_is_one_of_data_ids() -> None:
    nothing = DatumsListed(1, (), is_complete=False)
    assert converse(list_dialog("pay*"), nothing) == ([ListDatums(0, "pay*#@#*")], ())
    assert converse(list_dialog("*#@#I#@#G"), nothing) == ([ListDatums(0, "*#@#I#@#G")], ())


def test_settings_are_listed_page_after_page_and_got_one_by_one() -> None:
    a, b = SettingRecord("a", "1", 7), SettingRecord("b", "2", 8)
    pages = SettingsReply(1, (a,), is_complete=False), SettingsReply(2, (b,))

    questions, found = converse(settings_dialog("*"), *pages)

    assert questions == [FetchSettings(0, "*"), FetchSettings(0, "*", "a")]
    assert found == (Setting("a", "1", 7), Setting("b", "2", 8))
    assert converse(setting_dialog("b"), SettingsReply(1, (b,)))[1] == Setting("b", "2", 8)
    assert converse(setting_dialog("b"), SettingsReply(1, ()))[1] is None


def test_bad_names_and_patterns_are_refused_before_anything_is_asked() -> None:
    for pattern in (5, "x" * 300, "\ud800"):
        with pytest.raises(UsageError, match="pattern"):
            list_dialog(pattern)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="pattern"):
            settings_dialog(pattern)  # type: ignore[arg-type]
    for name in ("", "a*", "with blank", 5):
        with pytest.raises(UsageError, match="setting name"):
            setting_dialog(name)  # type: ignore[arg-type]


def test_an_answer_to_another_question_is_an_error_with_advice() -> None:
    for dialog in (list_dialog("*"), settings_dialog("*"), setting_dialog("a")):
        wrong = SettingsReply(1, ()) if dialog.__name__ == "_list_dialog" else DatumsListed(1, ())
        with pytest.raises(UnavailableError, match="in answer to another question: update it"):
            converse(dialog, wrong)  # type: ignore[arg-type, misc]
