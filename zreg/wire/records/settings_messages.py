"""Records to read and change the settings of a cluster."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from zreg.config import Limits
from zreg.model import SETTING_NAME, Count
from zreg.wire.record import Message
from zreg.wire.records.fields import RequestId

# What a decoder can check of a name: characters that no name has, those of search patterns among
# them. A request to set a name is checked by the whole rule, `SETTING_NAME`.
SETTING_NAME_PATTERN: Final = r"^[^\s*?\[\]\x00-\x1f\x7f\ud800-\udfff]{1,256}\Z"
SettingName = Annotated[str, Meta(pattern=SETTING_NAME_PATTERN)]
SettingValue = Annotated[str, Meta(max_length=Limits.setting_characters_max)]
Pattern = Annotated[str, Meta(max_length=Limits.id_part_characters_max)]
# 16 random bytes from the requester, new for each change. Empty: meta cannot recognize a repeat.
ChangeId = Annotated[bytes, Meta(max_length=16)]


def is_setting_name(name: str) -> bool:
    """Return whether a setting may have this name: one set by an earlier version, perhaps."""
    return re.match(SETTING_NAME_PATTERN, name) is not None


class Setting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A setting. `version` is the epoch at which it was set."""

    name: SettingName
    value: SettingValue
    version: Count


class SetSetting(Message, tag=56, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: set a setting, or remove it if the value is None.

    Answered by `SettingsReply` or `Refused`. `if_version`: change it only if it has this version;
    0: only if it does not exist. `change_id`: a repeated request with the same id changes nothing
    again and gets the first answer.
    """

    request_id: RequestId
    name: SettingName
    value: SettingValue | None
    if_version: Count | None = None
    change_id: ChangeId = b""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a new name that is not allowed; one that exists can be removed."""
        if self.value is not None:
            SETTING_NAME.check("name of a setting", self.name)


class FetchSettings(Message, tag=57, frozen=True, array_like=True, gc=False):
    """Any peer to meta or a session: list the settings whose names match the pattern.

    Answered by `SettingsReply`, with names after `after`, or by `Refused`.
    """

    request_id: RequestId
    pattern: Pattern
    after: Pattern = ""


class SettingsReply(Message, tag=58, frozen=True, array_like=True, gc=False):
    """Answer to `FetchSettings` and `SetSetting`: settings in the order of their names.

    The answer to `SetSetting` has the changed setting, or none after a removal. `is_complete`
    False: there are more; the receiver asks again with `after` the last name.
    """

    request_id: RequestId
    settings: Annotated[tuple[Setting, ...], Meta(max_length=Limits.settings_per_record_max)]
    is_complete: bool = True
