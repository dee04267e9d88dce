"""The `zreg` command; without its libraries it says how to install them."""

import sys
from typing import Final

from zreg.cli.process.streams import open_descriptors, standard_streams

# The libraries of the extra `zreg[node]`, by the name to import.
_NODE_MODULES: Final = ("loguru", "typer", "rich")


def main() -> None:
    """Run the command line and exit with its code."""
    open_descriptors()
    try:
        # A command loads its libraries when it is called, and they may be missing.
        from zreg.cli.app import run  # noqa: PLC0415

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
