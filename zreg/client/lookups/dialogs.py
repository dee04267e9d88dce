"""Questions to a session that need several pages of answers, without the waits for them.

A dialog yields a question, is sent the answer, and ends with its result. The client with threads
and the one for asyncio wait in different ways, and share the dialogs.
"""

from collections.abc import Generator
from typing import Final, TypeVar

import msgspec

from zreg.client.core.commands import Answer, Question
from zreg.config import Limits
from zreg.errors import UnavailableError, UsageError
from zreg.model import SEPARATOR, Version, split_data_info_id
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums
from zreg.wire.records.settings_messages import FetchSettings, SettingsReply, is_setting_name
from zreg.wire.records.settings_messages import Setting as SettingRecord

_SEPARATORS: Final = 2
R = TypeVar("R")
Dialog = Generator[Question, Answer, R]


class PublishedId(msgspec.Struct, frozen=True):
    """An id under which something is published, in any data center."""

    data_id: str
    instance_id: str
    group: str
    publisher_count: int
    version: Version


class Setting(msgspec.Struct, frozen=True):
    """A setting of the cluster. `version` rises with each change."""

    name: str
    value: str
    version: int


def list_dialog(pattern: str) -> Dialog[tuple[PublishedId, ...]]:
    """List the ids that match; a pattern that names no group is matched against data ids."""
    _check_pattern(pattern)
    full_pattern = pattern if "#@#" in pattern or pattern == "*" else f"{pattern}#@#*"
    return _list_dialog(full_pattern)


def settings_dialog(pattern: str) -> Dialog[tuple[Setting, ...]]:
    """List the settings whose names match."""
    _check_pattern(pattern)
    return _settings_dialog(pattern)


def setting_dialog(name: str) -> Dialog[Setting | None]:
    """Get one setting; None if there is none of this name."""
    check_setting_name(name)
    return _setting_dialog(name)


def check_setting_name(name: object) -> None:
    """Raise `UsageError` if no setting can have this name."""
    if not isinstance(name, str) or not is_setting_name(name):
        raise UsageError(
            f"setting name {name!r:.80} cannot be used: give 1 to "
            f"{Limits.id_part_characters_max} characters without blanks and without * ? [ ]; "
            "list() takes a pattern"
        )


def setting_of(answer: Answer) -> Setting | None:
    """Return the setting of an answer to a question for one; None if there is none."""
    if not isinstance(answer, SettingsReply):
        raise _unexpected(answer)
    return _setting(answer.settings[0]) if answer.settings else None


def _unexpected(answer: Answer) -> UnavailableError:
    return UnavailableError(
        f"the session gave a {type(answer).__name__} in answer to another question: update it"
    )


def _list_dialog(pattern: str) -> Dialog[tuple[PublishedId, ...]]:
    found: list[DatumSummary] = []
    while True:
        after = found[-1].data_info_id if found else ""
        answer = yield ListDatums(0, pattern, after)
        if not isinstance(answer, DatumsListed):
            raise _unexpected(answer)
        found += answer.datums
        if answer.is_complete or not answer.datums:
            return tuple(map(_published_id, filter(_is_published, found)))


def _settings_dialog(pattern: str) -> Dialog[tuple[Setting, ...]]:
    found: list[Setting] = []
    while True:
        answer = yield FetchSettings(0, pattern, found[-1].name if found else "")
        if not isinstance(answer, SettingsReply):
            raise _unexpected(answer)
        found += map(_setting, answer.settings)
        if answer.is_complete or not answer.settings:
            return tuple(found)


def _setting_dialog(name: str) -> Dialog[Setting | None]:
    answer = yield FetchSettings(0, name)
    return setting_of(answer)


def _is_published(datum: DatumSummary) -> bool:
    # What is no id of three parts is not from a node of zreg.
    return bool(datum.publisher_count) and datum.data_info_id.count(SEPARATOR) == _SEPARATORS


def _published_id(datum: DatumSummary) -> PublishedId:
    data_id, instance_id, group = split_data_info_id(datum.data_info_id)
    return PublishedId(data_id, instance_id, group, datum.publisher_count, datum.version)


def _setting(record: SettingRecord) -> Setting:
    return Setting(record.name, record.value, record.version)


def _check_pattern(pattern: object) -> None:
    """Raise `UsageError` for a pattern that a node could not take."""
    if isinstance(pattern, str) and len(pattern) <= Limits.id_part_characters_max:
        try:
            pattern.encode()
        except UnicodeEncodeError:
            pass
        else:
            return
    raise UsageError(
        f"pattern {pattern!r:.80} cannot be used: give a text of at most "
        f"{Limits.id_part_characters_max} characters, with * ? [...] as in a shell"
    )
