"""Options of commands: those that several share, and those made from the fields of settings."""

import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from zreg.cli.process.node_options import CONFIG_FIELDS, OPTION_FIELDS, flag

Flags = Mapping[str, str | None]

_PANEL: Final = "Settings; --lease-seconds is also ZREG_LEASE_SECONDS, docs/configuration.md"
_ABOUT: Final = {
    "id": "Name in the membership",
    "host": "Where to bind",
    "port": "0: any free one",
    "pub_port": "Where to announce",
    "http_port": "Where to answer over HTTP, or off; 0: any free one",
    "advertise_host": "What others are told",
    "insecure": "Let other machines in, unencrypted",
    "dir": "Where it keeps what its next process starts from",
    "peer": "ID=HOST:PORT of each meta node, itself included; once for each",
    "join": "Wait to be taken in by `zreg meta add`; needs --dir and its own --peer",
    "log_level": "debug, info, warning or error",
}


class Format(enum.StrEnum):
    """How to write what was found."""

    TABLE = "table"
    JSON = "json"
    WIDE = "wide"


Output = Annotated[
    Format, typer.Option("-o", "--output", help="For people, for programs, or in full.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="Settings, in place of ./zreg.toml.", metavar="FILE"),
]
Url = Annotated[
    str | None,
    typer.Option(help="Sessions to ask: zreg://HOST:PORT[,HOST:PORT...] [ZREG_URL]"),
]
Cluster = Annotated[str | None, typer.Option(help="Name of the cluster [ZREG_CLUSTER]")]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="How long to wait for a registry.", metavar="SECONDS")
]
Group = Annotated[str, typer.Option(help="Second part of the name.")]
InstanceId = Annotated[str, typer.Option(help="Third part of the name.")]


def with_settings(
    *names: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting, handed over together as `flags`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: object) -> None:
            flags = {name: _text(arguments.pop(name)) for name in names}
            command(flags=flags, **arguments)

        own = inspect.signature(command)
        kept = [each for each in own.parameters.values() if each.name != "flags"]
        parameters = [*kept, *map(_option, names)]
        run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        # typer reads this, and not what the function really takes.
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _option(name: str) -> inspect.Parameter:
    field = {**CONFIG_FIELDS, **OPTION_FIELDS}[name]
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    parts = [_ABOUT.get(name, ""), "" if default in (None, "", False) else f"default {default}"]
    about = "; ".join(filter(None, parts))
    if name == "peer":
        option = typer.Option(flag(name), help=about, rich_help_panel=_PANEL, metavar="PEER")
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[list[str] | None, option],
        )
    names = dict.fromkeys((flag(name), f"--{name.replace('_', '-')}"))
    annotation = (
        Annotated[bool | None, typer.Option(flag(name), help=about, rich_help_panel=_PANEL)]
        if field.type is bool
        else Annotated[
            str | None,
            typer.Option(*names, help=about, rich_help_panel=_PANEL, metavar="VALUE"),
        ]
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ",".join(value) or None
    return None if value is None else str(value)
