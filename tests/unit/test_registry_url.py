"""Where the registry is: what its url may say, and where a client finds the url."""

from pathlib import Path

import pytest

import zreg
from zreg.client.core.connection.outage import advice_on
from zreg.client.locating.registry_url import DEFAULT_URL, configured_url, may_discover, parse_url
from zreg.errors import UsageError


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("zreg://127.0.0.1:9600", ("tcp://127.0.0.1:9600",)),
        ("zreg://reg.example.org", ("tcp://reg.example.org:9600",)),
        ("zreg://a,b:7, a:9600/", ("tcp://a:9600", "tcp://b:7")),
        ("zreg://[::1]:9601,[fe80::2]", ("tcp://[::1]:9601", "tcp://[fe80::2]:9600")),
        (DEFAULT_URL, ("tcp://127.0.0.1:9600",)),
    ],
)
def test_a_url_names_sessions(url: str, addresses: tuple[str, ...]) -> None:
    assert parse_url(url) == addresses


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://a:9600", "does not start with zreg://"),
        ("", "does not start with zreg://"),
        ("a:9600", "does not start with zreg://"),
        ("zreg://", "is not HOST"),
        ("zreg://a,,b", "is not HOST"),
        ("zreg://a b", "is not HOST"),
        ("zreg://a:x", "is not HOST"),
        ("zreg://user:secret@a:1", "is not HOST"),
        ("zreg://a/path", "is not HOST"),
        ("zreg://::1", "is not HOST"),
        ("zreg://a:0", "port 0"),
        ("zreg://a:70000", "port 70000"),
        ("zreg://" + "a" * 300, "longer than"),
        ("zreg://" + "a," * 64 + "b", "at most 64"),
    ],
)
def test_an_invalid_url_is_refused_with_what_to_write(url: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        parse_url(url)


def test_the_constructor_refuses_an_invalid_url_at_once() -> None:
    with pytest.raises(zreg.UsageError, match="zreg://HOST"):
        zreg.Client("http://127.0.0.1:9600")


def test_the_environment_goes_before_the_files_and_those_before_loopback(tmp_path: Path) -> None:
    here, there, broken = tmp_path / "zreg.toml", tmp_path / "etc.toml", tmp_path / "broken.toml"
    here.write_text("zone = 'a'\n[client]\n")
    there.write_text("[client]\nurl = 'zreg://there'\n")
    broken.write_text("[client\n")
    missing = tmp_path / "missing.toml"

    assert configured_url({"ZREG_URL": "zreg://env"}, [broken]) == "zreg://env"
    assert configured_url({"ZREG_URL": ""}, [missing, here, there]) == "zreg://there"
    assert configured_url({}, [missing, here]) is None


@pytest.mark.parametrize("text", ["[client\n", "[client]\nurl = 7\n", "client = 3\n"])
def test_the_error_names_a_file_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    path = tmp_path / "zreg.toml"
    path.write_text(text)

    with pytest.raises(UsageError, match=r"zreg\.toml"):
        configured_url({}, [path])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n[clinet]\nurl = 'zreg://h'\n", ", line 2: there is no section [clinet], only [client]"),
        (
            "zone = 'a'\n[client]\n# mine\nulr = 'zreg://h'\n",
            ", line 4: there is no setting 'ulr' in [client], only url",
        ),
    ],
)
def test_unknown_sections_and_settings_are_refused_with_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    """Otherwise a misspelt `url` would silently lead to loopback."""
    path = tmp_path / "zreg.toml"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        configured_url({}, [path])
    assert str(caught.value).startswith(f"{path}{said}")


def test_only_the_advice_on_the_default_address_names_zreg_dev() -> None:
    assert "`zreg dev`" in advice_on(parse_url(DEFAULT_URL))
    advice = advice_on(parse_url("zreg://10.0.0.7:9600"))
    assert "`zreg dev`" not in advice
    assert "systemctl status 'zreg-session@*'" in advice


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("zreg://user:secret@a:1", "'zreg://...@a:1'"),
        ("zreg://user:secret,secret@a,b", "'zreg://...@a,b'"),
        ("zreg://user:secret@secret@a", "'zreg://...@a'"),
        ("http://user:secret@a", "'http://...@a'"),
        ("user:secret@a", "'...@a'"),
        ("zreg://user:secret://secret@a", "@a'"),
        ("zreg://a:1?password=secret", "'zreg://a:1?'"),
        ("zreg://a/#secret", "'zreg://a/#'"),
        ("tcp://a?secret", "'tcp://a?'"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url)

    assert "secret" not in str(caught.value)
    assert shown in str(caught.value)


def test_a_client_looks_at_the_lan_unless_the_environment_forbids_it() -> None:
    assert may_discover({})
    assert may_discover({"ZREG_DISCOVER": "on"})
    assert not may_discover({"ZREG_DISCOVER": "off"})
