"""`zreg version`: the versions of zreg, of its protocol and of its libraries."""

from platform import python_version

from zreg.cli.flags import Format, Output
from zreg.cli.output import say, say_json
from zreg.cli.versions import LIBRARIES, version_of
from zreg.wire.messages import PROTOCOL_VERSION


def version(output: Output = Format.TABLE) -> None:
    """Show the version of zreg, its protocol and its libraries."""
    zreg_version = version_of("zreg")
    libraries = {name: version_of(name) for name in LIBRARIES}
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
