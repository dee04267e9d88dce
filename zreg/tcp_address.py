"""What an address is: `tcp://HOST:PORT`, the one check for each place where one is given."""

import re
from errno import EACCES, EPERM
from typing import Final

from zreg.hosts import bracketed, why_no_host

PORT_MAX: Final = 65535
FORM: Final = "write tcp://HOST:PORT, an IPv6 host in brackets"
_SCHEME: Final = "tcp://"
# In brackets a host is IPv6.
_HOST_AND_PORT: Final = re.compile(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^:\[\]]*)):(\d{1,5})\Z", re.ASCII)


def why_not_bound(address: str, error: OSError) -> str:
    """Return why no socket can be bound to an address, and what to do, as a sentence."""
    if error.errno in (EACCES, EPERM):
        return (
            f"{address} cannot be bound to: this user may not use the port (below 1024 it takes "
            "root or CAP_NET_BIND_SERVICE): choose a port from 1024 on"
        )
    return (
        f"{address} is no address of this machine ({error.strerror}): choose one of its own, or "
        "127.0.0.1"
    )


def why_no_address(address: str) -> str | None:
    """Return why no program can connect to an address, and what to give; None if one can."""
    found = _HOST_AND_PORT.match(address.removeprefix(_SCHEME))
    if not address.startswith(_SCHEME) or found is None:
        return FORM
    if not 1 <= int(found[3]) <= PORT_MAX:
        return f"give a port from 1 to {PORT_MAX}"
    return why_no_host(found[1] or found[2])


def bare_host(address: str) -> str:
    """Return the host of a valid address, without brackets."""
    return address.removeprefix(_SCHEME).rpartition(":")[0].strip("[]")


def with_host(address: str, host: str) -> str:
    """Return a valid address with another host."""
    return f"{_SCHEME}{bracketed(host)}:{address.rpartition(':')[2]}"
