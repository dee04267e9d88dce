"""`zreg version`: the versions of zreg, of its protocol and of its libraries."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from platform import python_version
from typing import Final

from zreg.cli.flags import Format, Output
from zreg.cli.output import say, say_json
from zreg.wire.messages import PROTOCOL_VERSION

_LIBRARIES: Final = ("pyzmq", "msgspec", "msgpack", "typer", "rich", "loguru")


def version(output: Output = Format.TABLE) -> None:
    """Show the version of zreg, its protocol and its libraries."""
    zreg_version = _version_of("zreg")
    libraries = {name: _version_of(name) for name in _LIBRARIES}
    if output is Format.JSON:
        say_json(
            {
                "zreg": zreg_version,
                "protocol": PROTOCOL_VERSION,
                "python": python_version(),
                "libraries": libraries,
            }
        )
        return
    say(f"zreg {zreg_version}, protocol {PROTOCOL_VERSION}, Python {python_version()}")
    if output is Format.WIDE:
        for name, number in libraries.items():
            say(f"{name} {number}")


def _version_of(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "(not installed)"
