"""The `zreg` command; without its libraries it says how to install them."""

import signal
import sys
from typing import Final

# The libraries of the extra `zreg[node]`, by the name to import.
_NODE_MODULES: Final = ("loguru", "typer", "rich")


def main() -> None:
    """Run the command line and exit with its code."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        # While modules are loaded, Ctrl-C ends the process, and shows no traceback of theirs.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from zreg.cli.process.streams import open_descriptors, standard_streams  # noqa: PLC0415

    open_descriptors()
    try:
        # A command loads its libraries when it is called, and they may be missing.
        from zreg.cli.app import run  # noqa: PLC0415

        signal.signal(signal.SIGINT, on_interrupt)
        code = run()
    except ModuleNotFoundError as error:
        if error.name not in _NODE_MODULES:
            raise
        with standard_streams():
            sys.stderr.write(
                f"zreg: the `zreg` command needs the library {error.name}, which is not installed: "
                "run pip install 'zreg[node]'\n"
            )
        sys.exit(2)
    sys.exit(code)


if __name__ == "__main__":
    main()
