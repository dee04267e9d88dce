"""`zreg debug bundle`: one file with what helps to find out what is wrong."""

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import typer

from zreg.cli.asking.targets import find_target
from zreg.cli.asking.whole_cluster.cluster_view import fetch_view
from zreg.cli.commands.data.ring_command import ring
from zreg.cli.commands.event_command import events
from zreg.cli.commands.meta.membership_command import show_nodes
from zreg.cli.commands.meta.meta_commands import ls as meta_ls
from zreg.cli.commands.overview.doctor_command import doctor
from zreg.cli.commands.overview.ping_command import ping
from zreg.cli.commands.overview.status_commands import status
from zreg.cli.commands.overview.top_command import top
from zreg.cli.commands.own.config_commands import show
from zreg.cli.commands.own.version_command import version
from zreg.cli.exits import CommandFailedError
from zreg.cli.flags import Cluster, Format, Meta, Timeout, Url
from zreg.cli.output import complain, say
from zreg.cli.parsing.lazy_group import LazyGroup
from zreg.errors import Error, UsageError

_TIMEOUT_SECONDS: Final = 5.0
_LOG_BYTES_MAX: Final = 1 << 20


class DebugGroup(LazyGroup):
    """The commands of `zreg debug`."""

    homes: ClassVar[Mapping[str, str]] = {
        "bundle": "zreg.cli.commands.own.debug_commands:bundle",
    }


app = typer.Typer(cls=DebugGroup, help="Gather what helps to find a cause.", add_completion=False)


@app.callback()
def debug() -> None:
    """Do nothing: typer makes a group of an app that has a callback."""


def bundle(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File to write; default zreg-debug-TIME.tar.gz."),
    ] = None,
    *,
    log: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Log whose end to include; may be repeated."),
    ] = None,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
) -> None:
    """Write a tar.gz with what commands say about this installation and the cluster."""
    find_target(url, meta, cluster)
    tails = {f"logs/{number}-{path.name}": _tail(path) for number, path in enumerate(log or [])}
    where: dict[str, Any] = {
        "url": url,
        "meta": meta,
        "cluster": cluster,
        "timeout_seconds": timeout_seconds,
        "output": Format.JSON,
    }
    reports = _own_reports() | _cluster_reports(where)
    contents = {f"{name}.json": _said(name, report) for name, report in reports.items()}
    path = file or Path(f"zreg-debug-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    try:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in {**contents, **tails}.items():
                entry = tarfile.TarInfo(f"zreg-debug/{name}")
                entry.size, entry.mtime = len(data), datetime.now(UTC).timestamp()
                archive.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise CommandFailedError(
            f"{path} cannot be written ({error.strerror}): name another FILE"
        ) from error
    say(f"{path} is written: {len(contents)} reports, {len(tails)} logs; it names hosts and ids")


def _own_reports() -> dict[str, Callable[[], object]]:
    return {
        "version": partial(version, Format.JSON),
        "config": partial(show, output=Format.JSON),
    }


def _cluster_reports(where: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """Return the reports about the cluster, as functions that write them."""
    target = partial(find_target, where["url"], where["meta"], where["cluster"])
    seconds = where["timeout_seconds"]
    return {
        "status": partial(status, **where),
        "nodes": lambda: show_nodes(fetch_view(target(), seconds), Format.JSON),
        "meta": partial(meta_ls, **where),
        "ring": partial(ring, **where),
        "events": partial(events, **where),
        "top": partial(top, count=1, **where),
        "ping": partial(ping, **where),
        "doctor": partial(doctor, **where),
    }


def _said(name: str, report: Callable[[], object]) -> bytes:
    """Return what a report writes, or why it could not be made."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        try:
            report()
        except Error as error:
            complain(f"{name} is left out: {error}")
            return f"{text.getvalue()}not known: {error}\n".encode()
    return text.getvalue().encode()


def _tail(path: Path) -> bytes:
    """Return the end of a log."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _LOG_BYTES_MAX))
            return stream.read(_LOG_BYTES_MAX)
    except OSError as error:
        raise UsageError(f"--log {path} cannot be read ({error.strerror}): name a file") from error
