"""The versions of zreg and of the libraries that it uses."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Final

LIBRARIES: Final = ("pyzmq", "msgspec", "msgpack", "typer", "rich", "loguru", "aiohttp")


def version_of(name: str) -> str:
    """Return the installed version of a package; a note in brackets if there is none."""
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "(not installed)"
