"""The `zreg` command: its subcommands, and the exit code of each."""

import errno
import logging
import os
import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

import typer
from typer.core import TyperArgument

from zreg.cli import exits
from zreg.cli.commands.own.completion_command import prepare_completion
from zreg.cli.options.node_options import roles_of_flag, unknown_variables
from zreg.cli.output import complain
from zreg.cli.parsing.lazy_group import LazyGroup
from zreg.cli.process.streams import drop_output, standard_streams
from zreg.errors import Error

# A file, folder or process may be refused wherever one is used. Other errors are bugs.
_REFUSALS_OF_THE_SYSTEM: Final = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR),
    *(
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.EAGAIN,
        errno.ENOMEM,
    ),
)
_SYSTEM_ADVICE: Final = "look at its permissions, its disk and the limits of this user (ulimit -a)"
_HELP: Final = "`zreg --help` lists the commands"


class _Commands(LazyGroup):
    """All commands, in the order of `zreg --help`."""

    homes: ClassVar[Mapping[str, str]] = {
        "dev": "zreg.cli.commands.nodes.dev_command:dev",
        "cluster": "zreg.cli.commands.cluster_command:cluster",
        "session": "zreg.cli.commands.nodes.session_command:session",
        "publish": "zreg.cli.commands.client_commands:publish",
        "subscribe": "zreg.cli.commands.client_commands:subscribe",
        "watch": "zreg.cli.commands.client_commands:watch",
        "ls": "zreg.cli.commands.data.datum_command:ls",
        "get": "zreg.cli.commands.client_commands:get",
        "nodes": "zreg.cli.commands.meta.nodes_group:app",
        "events": "zreg.cli.commands.event_command:events",
        "trace": "zreg.cli.commands.overview.trace_command:trace",
        "ring": "zreg.cli.commands.data.ring_command:ring",
        "discover": "zreg.cli.commands.discover_command:discover",
        "status": "zreg.cli.commands.overview.status_commands:status",
        "top": "zreg.cli.commands.overview.top_command:top",
        "check": "zreg.cli.commands.overview.status_commands:check",
        "ping": "zreg.cli.commands.overview.ping_command:ping",
        "doctor": "zreg.cli.commands.overview.doctor_command:doctor",
        "debug": "zreg.cli.commands.own.debug_commands:app",
        "config": "zreg.cli.commands.own.config_commands:app",
        "completion": "zreg.cli.commands.own.completion_command:completion",
        "version": "zreg.cli.commands.own.version_command:version",
        "meta": "zreg.cli.commands.meta.meta_group:app",
        "data": "zreg.cli.commands.data.data_group:app",
        "settings": "zreg.cli.commands.meta.setting_group:app",
    }


app = typer.Typer(
    name="zreg",
    cls=_Commands,
    help="A service registry over ZeroMQ.",
    add_completion=False,
    # Commands inherit it.
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(is_wanted: bool) -> None:  # noqa: FBT001 -- typer passes the value
    """Do what `zreg version` does, and end."""
    if is_wanted:
        from zreg.cli.commands.own.version_command import version  # noqa: PLC0415 -- as commands

        version()
        raise typer.Exit


@app.callback()
def _zreg(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Do nothing: typer makes a group of an app that has a callback."""


# typer contains click, in newer versions under private names. This base class of a public error is
# the usage error in all versions.
_TyperUsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; each error is one sentence on stderr."""
    with standard_streams():
        for warning in unknown_variables(os.environ):
            complain(warning)
        # Commands that route no log say themselves what their connections met.
        logging.getLogger("zreg").addHandler(logging.NullHandler())
        prepare_completion()
        try:
            code = app(args=arguments, prog_name="zreg", standalone_mode=False)
            if code == exits.INTERRUPTED:
                # The write that was interrupted would wait for its reader again.
                drop_output()
            # What a library wrote, as the help, may still be in a buffer.
            sys.stdout.flush()
        except exits.ReaderGoneError:
            return exits.OK
        except Error as error:
            complain(" ".join(str(error).split()))
            return exits.code_of(error)
        except _TyperUsageError as error:
            return _explain_usage(error)
        except OSError as error:
            if error.errno not in _REFUSALS_OF_THE_SYSTEM:
                raise
            where = f"{error.filename}: " if error.filename else ""
            complain(f"{where}{error.strerror}: {_SYSTEM_ADVICE}")
            return exits.FAILED
        except KeyboardInterrupt:
            drop_output()
            return exits.INTERRUPTED
    return code if isinstance(code, int) else exits.OK


def _explain_usage(error: Exception) -> int:
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "zreg")
    advice = _HELP if path == "zreg" else f"`{path} --help` shows how to use it"
    option = getattr(error, "option_name", None)
    if roles := roles_of_flag(str(option)):
        nodes = " and ".join(f"`zreg {role}`" for role in roles)
        complain(f"{option} has no effect here: it is an option of {nodes}")
        return exits.USAGE
    if option is not None:
        advice += _advice_on_values(path, context)
    complain(f"{message.rstrip('.')}: {advice}")
    return exits.USAGE


def _advice_on_values(path: str, context: object) -> str:
    """Return how to write a value that looks like an option, if the command takes values."""
    parameters = getattr(getattr(context, "command", None), "params", ())
    values = [each for each in parameters if isinstance(each, TyperArgument)]
    if not values:
        return ""
    names = " ".join(each.metavar or str(each.name).upper() for each in values)
    return f"; before values that begin with - write --, as in `{path} -- {names}`"
