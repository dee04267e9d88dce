"""`zreg settings`: small versioned values that meta keeps for the programs of a cluster."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.asking.ask import UnansweredError, ask_now
from zreg.cli.asking.targets import find_target
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url, Watch
from zreg.cli.options.node_options import CONFIG_FIELDS, OPTION_FIELDS, flag, variable
from zreg.cli.options.text_arguments import checked_pattern, checked_setting_value
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.showing.printable_text import printable
from zreg.cli.showing.repeat import show_again
from zreg.model import COUNT_MAX, SETTING_NAME
from zreg.wire.records.settings_messages import (
    FetchSettings,
    SetSetting,
    Setting,
    SettingsReply,
    is_setting_name,
)

_TIMEOUT_SECONDS: Final = 5.0
_COLUMNS: Final = ("name", "value", "version")

Name = Annotated[str, typer.Argument(help="Name of the setting.")]
IfVersion = Annotated[
    int | None,
    typer.Option(
        "--if-version",
        min=0,
        max=COUNT_MAX,
        help="Change it only if it is at this version; 0: only if it does not exist.",
    ),
]


class _SettingRequests:
    """Asks meta, through a session or directly, until an answer comes or the timeout has passed."""

    def __init__(
        self, url: str | None, meta: str | None, cluster: str | None, timeout_seconds: float
    ) -> None:
        self._target = find_target(url, meta, cluster)
        self._timeout_seconds = timeout_seconds

    def fetch(self, pattern: str) -> list[Setting]:
        """Return all settings whose name matches, page after page."""
        found: list[Setting] = []
        while True:
            after = found[-1].name if found else ""
            reply = self._ask(partial(FetchSettings, pattern=pattern, after=after))
            found += reply.settings
            if reply.is_complete or not reply.settings:
                return found

    def change(self, name: str, value: str | None, if_version: int | None) -> SettingsReply:
        """Set a setting, or remove it if the value is None.

        However often it is asked, the change happens once, since every attempt has the same id.
        """
        change = partial(
            SetSetting,
            name=name,
            value=value,
            if_version=if_version,
            change_id=secrets.token_bytes(16),
        )
        try:
            return self._ask(change)
        except UnansweredError as error:
            raise UnansweredError(
                f"{error}; the change may have been made: look with `zreg settings get {name}`"
            ) from error

    def _ask(self, question: Callable[[int], SetSetting | FetchSettings]) -> SettingsReply:
        return ask_now(
            self._target,
            (question, SettingsReply),
            timeout_seconds=self._timeout_seconds,
            # Both questions are safe to ask twice.
            is_patient=True,
        )


def get(
    name: Name,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show the value of a setting."""
    _check_name(name)
    found = _SettingRequests(url, meta, cluster, timeout_seconds).fetch(name)
    if not found:
        raise CommandFailedError(
            f"there is no setting {name!r}: see all settings with `zreg settings ls`",
            code=NOT_FOUND,
        )
    _show(found[0], output)


def set_(  # noqa: PLR0913 -- one argument per option
    name: Name,
    value: Annotated[str, typer.Argument(help="New value of the setting.")],
    *,
    if_version: IfVersion = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Create a setting or change its value."""
    SETTING_NAME.check("name", name)
    checked_setting_value(value)
    requests = _SettingRequests(url, meta, cluster, timeout_seconds)
    reply = requests.change(name, value, if_version)
    if name in CONFIG_FIELDS or name in OPTION_FIELDS:
        complain(
            f"{name} is set for your programs only: a node reads its own {name} from {flag(name)}, "
            f"{variable(name)} or zreg.toml when it starts"
        )
    for setting in reply.settings:
        if output is Format.JSON:
            say_json(_json(setting))
        else:
            say(f"{printable(setting.name)} is set, version {setting.version}")


def remove(
    name: Name,
    *,
    if_version: IfVersion = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Remove a setting; it is no error if the setting does not exist."""
    _check_name(name)
    requests = _SettingRequests(url, meta, cluster, timeout_seconds)
    found = requests.fetch(name)
    requests.change(name, None, if_version)
    if found:
        say(f"{printable(name)} is removed; it was set at version {found[0].version}")
    else:
        say(f"{printable(name)} was not set: nothing is changed")


def ls(  # noqa: PLR0913 -- one argument per option
    pattern: Annotated[
        str, typer.Argument(metavar="[GLOB]", help="Names to list, with * ? [...] as in a shell.")
    ] = "*",
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
    watch: Watch = False,
) -> None:
    """List the settings and their values."""
    checked_pattern(pattern)
    requests = _SettingRequests(url, meta, cluster, timeout_seconds)
    look = partial(requests.fetch, pattern)
    show = partial(_show_list, pattern=pattern, output=output)
    if watch:
        show_again(look, show, is_for_programs=output is Format.JSON)
    else:
        show(look())


def _show_list(found: Sequence[Setting], pattern: str, output: Format) -> None:
    if output is Format.JSON:
        say_json([_json(setting) for setting in found])
    elif found:
        print_table(_COLUMNS, [_row(setting) for setting in found])
    elif pattern == "*":
        say("Nothing is set: try `zreg settings set NAME VALUE`.")
    else:
        say(f"No setting matches {pattern!r}: see all settings with `zreg settings ls`.")


def _check_name(name: str) -> None:
    """Raise `UsageError` for a name that no setting has.

    A setting of an earlier version may have a name that could not be set today.
    """
    if not is_setting_name(name):
        SETTING_NAME.check("name", name)


def _show(setting: Setting, output: Format) -> None:
    if output is Format.JSON:
        say_json(_json(setting))
    elif output is Format.WIDE:
        print_table(_COLUMNS, [_row(setting)])
    else:
        say(printable(setting.value))


def _row(setting: Setting) -> list[str]:
    return [setting.name, setting.value, str(setting.version)]


def _json(setting: Setting) -> Json:
    return {"name": setting.name, "value": setting.value, "version": setting.version}
