"""The ports of one node differ: otherwise the second one would seem to be in use by a stranger."""

from collections.abc import Mapping

from zreg.errors import UsageError


def check_own_ports(ports: Mapping[str, int | None]) -> None:
    """Raise `UsageError` if two options of one node give the same port; 0 and None are no port."""
    options_by_port: dict[int, str] = {}
    for option, port in ports.items():
        if not port:
            continue
        other = options_by_port.setdefault(port, option)
        if other != option:
            raise UsageError(
                f"port {port} of this node is that of {other} and of {option}, and each needs its "
                f"own: give {option} another port"
            )
