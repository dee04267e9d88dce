"""What a host is, and how it is written: one check for every place where a host is given."""

import pytest

import zreg
from zreg.client.locating.registry_url import parse_url
from zreg.errors import UsageError
from zreg.hosts import (
    HOST_CHARACTERS_MAX,
    bracketed,
    checked_host,
    is_ip_address,
    why_not_told,
    without_user,
)

ANY = "0.0.0.0"  # noqa: S104 -- refused, never bound to
HOSTS = [
    *("a", "localhost", "pay.example.org", "pay.example.org.", "web-1", "my_host", "0x7f.example"),
    *("10.0.0.7", "127.0.0.1", "::1", "fd00::7", "fe80::2", "fe80::2%eth0", "::ffff:10.0.0.7"),
    "xn--bcher-kva.example",
]
NO_HOSTS = [
    *("", " ", "my host", "a\n", "a/b", "h#x", "h?x", "-a", "a-", "a..b", ".a", "a\x00"),
    *("[::1]", "[a]", "[::1]:80", "10.0.0.1:8080", "h:80", "http://10.0.0.1", "user@h"),
    *("10.0.0.1,10.0.0.2", "*", ANY, "::", "::0", "::ffff:0.0.0.0", "0.0.0.1"),
    *("10.0.0", "127.1", "1", "256.1.1.1", "10.0.0.1.", "0x7f.1", "a.0x1", "1::2::3", "fe80::1%"),
    *("fe80::1%a/b", "::1\n", "224.0.0.1", "ff02::1", "255.255.255.255", "bücher.example", "٣"),
    "x" * 64,
    "a." * 122 + "b",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_taken_alike_in_an_endpoint_in_text_and_in_a_url(host: str) -> None:
    endpoint = zreg.Endpoint(checked_host(host), 8080)

    assert endpoint.host == host
    assert zreg.Endpoint.parse(str(endpoint)) == endpoint
    assert parse_url(f"zreg://{bracketed(host)}:1") == (f"tcp://{bracketed(host)}:1",)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_refused_alike_in_an_endpoint_in_text_and_in_a_url(host: str) -> None:
    with pytest.raises(UsageError, match=r"the flag .* cannot be used: "):
        checked_host(host, "the flag")
    with pytest.raises(UsageError, match=r"host .* cannot be used: "):
        zreg.Endpoint(host, 8080)
    text = host if host.startswith("[") else bracketed(host)
    if host != "[::1]":
        with pytest.raises(UsageError, match=r"is not an endpoint|cannot be used"):
            zreg.Endpoint.parse(f"{text}:80")


@pytest.mark.parametrize("host", [None, 5, b"h", ["h"], float("nan")])
def test_only_text_is_a_host(host: object) -> None:
    with pytest.raises(UsageError, match="give text"):
        checked_host(host)


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("[::1]", "leave out the brackets: ::1"),
        ("10.0.0.1:8080", "leave out the port"),
        ("[::1]:8080", "leave out the port"),
        ("http://10.0.0.1", "leave out the scheme"),
        (ANY, "it stands for all addresses of a machine: give one of them, or a name"),
        ("*", "it stands for all addresses"),
        ("127.1", "give a whole one, such as 10.0.0.7"),
        ("a,b", "give one host"),
        ("bücher.example", "xn--"),
        ("a" * (HOST_CHARACTERS_MAX + 1), "longer than"),
    ],
)
def test_the_error_says_what_to_give_instead(host: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_host(host)

    assert advice in str(caught.value)


def test_only_names_need_a_look_up() -> None:
    assert [host for host in HOSTS if not is_ip_address(host)] == [
        *("a", "localhost", "pay.example.org", "pay.example.org.", "web-1", "my_host"),
        *("0x7f.example", "xn--bcher-kva.example"),
    ]


def test_a_user_and_password_are_never_shown() -> None:
    assert without_user("zreg://a,me:secret@b:1/") == "zreg://...@b:1/"
    assert without_user("zreg://a:1") == "zreg://a:1"
    for url in ("zreg://me:secret@h:1", "http://me:secret@h:1", "zreg://a,me:secret@h:1"):
        with pytest.raises(UsageError) as caught:
            parse_url(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        checked_host("me:secret@h")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["10.0.0.7", "fd00::7", "169.254.3.4", "registry.example", "::1"])
def test_other_machines_can_use_most_addresses(host: str) -> None:
    assert why_not_told(host) is None


@pytest.mark.parametrize("host", ["fe80::7", "fe80::7%eth0"])
def test_a_link_local_address_is_not_told(host: str) -> None:
    assert "is a link-local address" in str(why_not_told(host))
