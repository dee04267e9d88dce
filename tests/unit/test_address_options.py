"""Options that name addresses: --meta and --peer."""

import re

import pytest

from zreg.cli.options.address_options import bind_host, peers, tcp_addresses
from zreg.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:0",
        "host:70000",
        "http://host:1",
        "a:1,,b:1",
        "*:1",
        "0.0.0.0:1",
        "[h:80]:1",
        "[::]:1",
        "1.2.3:1",
        "::1:1",
        "-a:1",
    ],
)
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


def test_a_password_in_an_address_is_never_shown() -> None:
    for check in (lambda text: tcp_addresses(text, "--meta"), lambda text: peers([text])):
        with pytest.raises(UsageError) as caught:
            check("m=user:secret@h:1")
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("0:0::1", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("*", "*"),
        ("0.0.0.0", "0.0.0.0"),  # noqa: S104 -- nothing is bound
        ("::", "::"),
    ],
)
def test_a_host_to_bind_to_is_an_ip_address(host: str, address: str) -> None:
    assert bind_host(host, "host") == address


def test_a_name_is_bound_by_its_address_in_ipv4_if_it_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str] = ["::1", "127.0.0.1"]
    monkeypatch.setattr(
        "socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (each, 0)) for each in found]
    )

    assert bind_host("localhost", "host") == "127.0.0.1"
    found.pop()
    assert bind_host("localhost", "host") == "::1"


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("[::1]", "leave out the brackets: ::1"),
        ("127.0.0.1:9600", "leave out the port"),
        ("http://127.0.0.1", "leave out the scheme and all that follows the host"),
        ("127.0.0.1/8", "give a name or an IP address, such as"),
        ("127.1", "it is not an IP address"),
        ("lo", "this is a network interface"),
        ("", "give a name or an IP address"),
        ("no-such-host.invalid", "it does not resolve"),
    ],
)
def test_what_is_no_host_is_refused_with_what_a_host_is(
    host: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", fail)

    with pytest.raises(UsageError) as caught:
        bind_host(host, "host")
    said = str(caught.value)
    assert said.startswith(f"host: '{host}' is not a host to bind to ({problem}")
    assert said.endswith(
        "write an IP address of this machine, such as 127.0.0.1 or ::1, or 0.0.0.0 or :: for all "
        "of them"
    )
