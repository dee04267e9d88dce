"""The settings, as one part of the state that meta nodes agree on."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from zreg.config import Limits
from zreg.errors import LimitError, VersionMismatchError
from zreg.meta.state.applied import Applied
from zreg.meta.state.setting_outcomes import SettingOutcomes
from zreg.wire.log_commands import ChangeSetting, Outcome
from zreg.wire.records.settings_messages import Setting

_REFUSED_BEFORE: Final = "this change was refused before: read the setting, then make a new change"


class SettingsTable:
    """Settings by name, and how the last changes ended.

    A setting's version is the epoch at which it was set. A change happens at most once: the outcome
    of a repeated one is that of the first time.
    """

    def __init__(self, settings: Sequence[Setting] = (), outcomes: Sequence[Outcome] = ()) -> None:
        self._by_name = {setting.name: setting for setting in settings}
        self._outcomes = SettingOutcomes(outcomes)

    def __len__(self) -> int:
        """Return how many settings there are."""
        return len(self._by_name)

    def find(self, name: str) -> Setting | None:
        """Return one setting, None if it is not set."""
        return self._by_name.get(name)

    def page(self, pattern: str, after: str, count_max: int) -> tuple[tuple[Setting, ...], bool]:
        """Return the next settings by name, and whether no more of them follow."""
        found = [
            setting
            for name, setting in sorted(self._by_name.items())
            if name > after and fnmatchcase(name, pattern)
        ]
        return tuple(found[:count_max]), len(found) <= count_max

    def all(self) -> tuple[Setting, ...]:
        """Return all settings, by name."""
        return tuple(setting for _, setting in sorted(self._by_name.items()))

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return the outcomes of the last changes, the oldest first."""
        return self._outcomes.all()

    def change(self, command: ChangeSetting, epoch: int) -> Applied:
        """Change a setting at `epoch + 1`, unless this change was applied or refused before."""
        known = self._outcomes.find(command.change_id)
        if known is not None:
            detail = _REFUSED_BEFORE if known.code else ""
            return Applied(code=known.code, detail=detail, version=known.version)
        applied = self._set_or_remove(command, epoch)
        self._outcomes.note(Outcome(command.change_id, applied.version, applied.code))
        return applied

    def _set_or_remove(self, command: ChangeSetting, epoch: int) -> Applied:
        present = self._by_name.get(command.name)
        version = present.version if present is not None else 0
        if command.if_version not in (None, version):
            is_now = f"at version {version}" if present is not None else "not set"
            detail = (
                f"{command.name} is {is_now}, not at version {command.if_version}: read it, then "
                "try again"
            )
            return Applied(code=VersionMismatchError.code, detail=detail)
        if command.value is None:
            if self._by_name.pop(command.name, None) is None:
                return Applied(version=epoch)
        elif present is None and len(self._by_name) >= Limits.settings_max:
            detail = f"there are {Limits.settings_max} settings already: remove one first"
            return Applied(code=LimitError.code, detail=detail)
        else:
            self._by_name[command.name] = Setting(command.name, command.value, epoch + 1)
        return Applied(is_changed=True, version=epoch + 1)
