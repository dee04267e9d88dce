"""Options that name addresses: --meta and --peer."""

import re

import pytest

from zreg.cli.process.address_options import peers, tcp_addresses
from zreg.errors import UsageError


@pytest.mark.parametrize("text", ["", "host", "host:0", "host:70000", "http://host:1", "a:1,,b:1"])
def test_a_text_that_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--meta: .* is not an address: write HOST:PORT"):
        tcp_addresses(text, "--meta")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("m 4=h:1", "node id 'm 4' cannot be used"),
        ("m4 =h:1", "cannot be used"),
        ("m@4=h:1", "without @"),
        ("\udcff=h:1", "cannot be used"),
        ("x" * 300 + "=h:1", "give 1 to"),
        ("=h:1", "write ID=HOST:PORT"),
        ("a=b=h:1", "write HOST:PORT"),
        ("m4=::1:9611", "write HOST:PORT"),
        ("m4=h:0", "write HOST:PORT"),
        ("m4=h:1,k:2", "the one HOST:PORT"),
        ("m4=0.0.0.0:9611", "at which the other meta nodes reach it"),
        ("m4=[::]:9611", "at which the other meta nodes reach it"),
    ],
)
def test_a_peer_is_an_id_and_the_address_at_which_it_is_reached(part: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        peers([part])


def test_a_peer_may_be_at_an_ipv6_address() -> None:
    assert peers(["m4=[fd00::4]:9611"]) == {"m4": "tcp://[fd00::4]:9611"}
