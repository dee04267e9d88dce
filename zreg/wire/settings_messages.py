"""Settings: what everybody asks meta for, and what people change there."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import Count
from zreg.wire.record import Message

# Printable, without blanks and without what a pattern is made of.
SETTING_NAME_PATTERN: Final = r"^[^\s*?\[\]\x00-\x1f\x7f\ud800-\udfff]{1,256}\Z"
SettingName = Annotated[str, Meta(pattern=SETTING_NAME_PATTERN)]
SettingValue = Annotated[str, Meta(max_length=Limits.setting_characters_max)]
Pattern = Annotated[str, Meta(max_length=Limits.id_part_characters_max)]
# 16 random bytes, made by whoever starts the change; empty: it cannot be told from another one.
ChangeId = Annotated[bytes, Meta(max_length=16)]


def is_setting_name(name: str) -> bool:
    """Return whether a setting can have this name."""
    return re.match(SETTING_NAME_PATTERN, name) is not None


class Setting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A setting as it stands; `version` is the epoch at which it was set."""

    name: SettingName
    value: SettingValue
    version: Count


class SetSetting(Message, tag=56, frozen=True, array_like=True, gc=False):
    """Anybody to meta or a session: set this, or remove it where the value is None.

    `if_version`: only if the setting is at this version now, 0: only if there is none.
    `change_id`: asked again under the same one, it happens once and is answered as the first time.
    """

    request_id: Count
    name: SettingName
    value: SettingValue | None
    if_version: Count | None = None
    change_id: ChangeId = b""


class FetchSettings(Message, tag=57, frozen=True, array_like=True, gc=False):
    """Anybody to meta or a session: the settings after `after` whose names match the pattern."""

    request_id: Count
    pattern: Pattern
    after: Pattern = ""


class SettingsReply(Message, tag=58, frozen=True, array_like=True, gc=False):
    """These settings, by name; the answer to SetSetting too, empty after a removal."""

    request_id: Count
    settings: Annotated[tuple[Setting, ...], Meta(max_length=Limits.settings_per_record_max)]
    is_complete: bool = True
