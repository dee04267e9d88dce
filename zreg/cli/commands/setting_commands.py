"""`zreg settings`: small versioned values that meta keeps for the whole cluster."""

import os
import secrets
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

import typer

from zreg.cli.ask import UnansweredError, ask_now
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Output, Timeout, Url
from zreg.cli.output import Json, complain, print_table, printable, say, say_json
from zreg.cli.process.node_options import CONFIG_FIELDS, OPTION_FIELDS, flag, load, variable
from zreg.cli.targets import Meta, place
from zreg.config import Config, Limits
from zreg.errors import UsageError
from zreg.wire.settings_messages import (
    FetchSettings,
    SetSetting,
    Setting,
    SettingsReply,
    is_setting_name,
)

_TIMEOUT_SECONDS: Final = 5.0

app = typer.Typer(help="Read and change the settings of the cluster.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the setting.")]
IfVersion = Annotated[
    int | None,
    typer.Option("--if-version", min=0, help="Only if it is at this version; 0: only if not set."),
]


class _Place:
    """Where to ask, found once."""

    def __init__(
        self, url: str | None, meta: str | None, cluster: str | None, timeout_seconds: float
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.config: Config = load({"cluster": cluster}, os.environ).config
        self.link, self.addresses = place(url, meta)

    def fetch(self, pattern: str) -> list[Setting]:
        """Return all settings that match, page after page."""
        found: list[Setting] = []
        while True:
            after = found[-1].name if found else ""
            reply = self._ask(partial(FetchSettings, pattern=pattern, after=after))
            found += reply.settings
            if reply.is_complete or not reply.settings:
                return found

    def change(self, name: str, value: str | None, if_version: int | None) -> SettingsReply:
        """Set or remove one; asked again under the same id, the change happens once."""
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
            detail = f"{error}; it may be done already, see `zreg settings get {name}`"
            raise UnansweredError(detail) from error

    def _ask(self, question: Callable[[int], SetSetting | FetchSettings]) -> SettingsReply:
        """Ask until the time is over: both questions may come twice."""
        return ask_now(
            self.link,
            self.addresses,
            (question, SettingsReply),
            config=self.config,
            timeout_seconds=self.timeout_seconds,
            is_patient=True,
        )


@app.command("get")
def get(
    name: Name,
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Show the value of one setting."""
    _check_name(name)
    found = _Place(url, meta, cluster, timeout_seconds).fetch(name)
    if not found:
        raise CommandFailedError(
            f"there is no setting {name!r}: see all with `zreg settings ls`", code=NOT_FOUND
        )
    _show(found[0], output)


@app.command("set")
def set_(  # noqa: PLR0913 -- one argument per option
    name: Name,
    value: Annotated[str, typer.Argument(help="Its new value.")],
    *,
    if_version: IfVersion = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """Set a setting."""
    _check_name(name)
    if len(value) > Limits.setting_characters_max:
        raise UsageError(
            f"the value has {len(value)} characters: a setting has at most "
            f"{Limits.setting_characters_max}"
        )
    reply = _Place(url, meta, cluster, timeout_seconds).change(name, value, if_version)
    if name in CONFIG_FIELDS or name in OPTION_FIELDS:
        complain(
            f"{name} is set for your programs only: nodes take theirs from {flag(name)}, "
            f"{variable(name)} or zreg.toml, when they start"
        )
    for setting in reply.settings:
        if output is Format.JSON:
            say_json(_json(setting))
        else:
            say(f"{printable(setting.name)} is set, version {setting.version}")


@app.command("rm")
def remove(
    name: Name,
    *,
    if_version: IfVersion = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Remove a setting; one that is not there is no error."""
    _check_name(name)
    _Place(url, meta, cluster, timeout_seconds).change(name, None, if_version)
    say(f"{printable(name)} is not set")


@app.command("ls")
def ls(
    pattern: Annotated[
        str, typer.Argument(metavar="[GLOB]", help="Which names: * ? [...] as in a shell.")
    ] = "*",
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the settings."""
    if len(pattern) > Limits.id_part_characters_max:
        raise UsageError(f"write a pattern of at most {Limits.id_part_characters_max} characters")
    found = _Place(url, meta, cluster, timeout_seconds).fetch(pattern)
    if output is Format.JSON:
        say_json([_json(setting) for setting in found])
    elif found:
        rows = [[each.name, each.value, str(each.version)] for each in found]
        print_table(["name", "value", "version"], rows)
    else:
        say("Nothing is set: try `zreg settings set NAME VALUE`.")


def _check_name(name: str) -> None:
    if not is_setting_name(name):
        raise UsageError(
            f"{name[:80]!r} is no name of a setting: write 1 to {Limits.id_part_characters_max} "
            "printable characters without blanks and without any of * ? [ ]"
        )


def _show(setting: Setting, output: Format) -> None:
    if output is Format.JSON:
        say_json(_json(setting))
    elif output is Format.WIDE:
        print_table(
            ["name", "value", "version"], [[setting.name, setting.value, str(setting.version)]]
        )
    else:
        say(printable(setting.value))


def _json(setting: Setting) -> Json:
    return {"name": setting.name, "value": setting.value, "version": setting.version}
