"""The `zreg` command, where its libraries are installed."""

import sys
from typing import Final

# What comes with the extra, by the name to import.
_NODE_MODULES: Final = ("loguru", "typer", "rich")


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from zreg.cli.app import run  # noqa: PLC0415 -- what it needs may be missing
    except ModuleNotFoundError as error:
        if error.name not in _NODE_MODULES:
            raise
        sys.stderr.write(
            f"zreg: the command needs {error.name}, which is not installed: "
            "run pip install 'zreg[node]'\n"
        )
        sys.exit(2)
    sys.exit(run())


if __name__ == "__main__":
    main()
