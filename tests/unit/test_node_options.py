"""Where a setting comes from, and what is said of one that cannot be used."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from zreg.cli.process.node_options import (
    CONFIG_FIELDS,
    OPTION_FIELDS,
    Loaded,
    NodeOptions,
    as_flags,
    flag,
    load,
    peers,
    tcp_addresses,
    unknown_variables,
    variable,
)
from zreg.config import Config
from zreg.errors import UsageError


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return tmp_path / "zreg.toml"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    return tmp_path / "system.toml"


def loaded(
    local: Path,
    system: Path | None = None,
    flags: Mapping[str, str | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    return load(flags or {}, environment or {}, paths=[local, system or local])


def refused(local: Path, text: str) -> str:
    """Return the sentence with which a file is refused."""
    local.write_text(text)
    with pytest.raises(UsageError) as caught:
        loaded(local)
    return str(caught.value)


def test_without_anything_all_is_default(local: Path) -> None:
    assert loaded(local) == Loaded(Config.for_lan(), NodeOptions())


def test_the_first_place_that_has_a_value_wins(local: Path, system: Path) -> None:
    """Flag, variable, ./zreg.toml, /etc/zreg/zreg.toml, default: field by field."""
    system.write_text("zone = 'system'\ndata_center = 'system'\ncluster = 'system'\nid = 'system'")
    local.write_text("zone = 'local'\ndata_center = 'local'\ncluster = 'local'")
    environment = {"ZREG_ZONE": "variable", "ZREG_DATA_CENTER": "variable", "ZREG_URL": "ignored"}

    found = loaded(local, system, {"zone": "flag", "cluster": None}, environment)

    assert found.config.zone == "flag"
    assert found.config.data_center == "variable"
    assert found.config.cluster == "local"
    assert found.options.id == "system"
    assert found.config.lease_seconds == Config().lease_seconds


def test_a_named_file_stands_in_for_the_local_one(local: Path, system: Path) -> None:
    local.write_text("zone = 'local'")
    named = local.with_name("named.toml")
    named.write_text("data_center = 'named'")
    system.write_text("cluster = 'system'")

    found = load({}, {}, file=named, paths=[local, system]).config

    assert (found.zone, found.data_center, found.cluster) == ("", "named", "system")


def test_a_named_file_must_exist(local: Path) -> None:
    with pytest.raises(UsageError, match=r"zreg\.toml does not exist: create it"):
        load({}, {}, file=local)


def test_every_kind_of_value_can_be_written_as_text(local: Path) -> None:
    flags = {
        "lease_seconds": "6",
        "clients_max": "7",
        "meta_addresses": "one:9610, tcp://two:9610,one:9610",
        "insecure": "True",
        "port": "0",
        "log_level": "debug",
    }

    found = loaded(local, flags=flags)

    assert found.config.lease_seconds == 6.0
    assert found.config.clients_max == 7
    assert found.config.meta_addresses == ("tcp://one:9610", "tcp://two:9610")
    assert found.options == NodeOptions(insecure=True, port=0, log_level="debug")


def test_a_file_has_typed_values_and_the_clients_own_table(local: Path) -> None:
    local.write_text(
        "lease_seconds = 6\nmeta_addresses = ['one:9610', 'tcp://two:9610']\n"
        "insecure = true\n[client]\nurl = 'zreg://elsewhere:9600'\n"
    )

    found = loaded(local)

    assert found.config.lease_seconds == 6.0
    assert found.config.meta_addresses == ("tcp://one:9610", "tcp://two:9610")
    assert found.options.insecure


def test_an_unknown_key_is_refused_with_the_nearest_known_one(local: Path) -> None:
    said = refused(local, "zone = 'a'\n\nlease_second = 3\n")

    assert (
        said == f"{local}, line 3: there is no setting 'lease_second': did you mean lease_seconds?"
    )


def test_an_unknown_key_that_is_near_to_none_points_to_the_list(local: Path) -> None:
    assert "docs/configuration.md lists all settings" in refused(local, "[xyzzy]\na = 1\n")


def test_a_file_that_is_no_toml_is_named_with_its_line(local: Path) -> None:
    said = refused(local, "zone = 'a'\nlease_seconds = = 3\n")

    assert said.startswith(f"{local} is no TOML: line 2, column 17: ")
    assert said.endswith("; mend it")


def test_a_file_that_is_no_text_is_named(local: Path) -> None:
    local.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="is no TOML"):
        loaded(local)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lease_seconds = 'long'", "line 1: lease_seconds is 'long'"),
        ("lease_seconds = true", "line 1: lease_seconds is True"),
        ("\nzone = 5", "line 2: zone is 5"),
        ("port = 70000", "line 1: port is 70000"),
        ("log_level = 'loud'", "line 1: log_level is 'loud'"),
        ("meta_addresses = ['nowhere']", "line 1: meta_addresses: 'nowhere' is no address"),
        ("meta_addresses = []", "line 1: meta_addresses: '' is no address"),
        ("meta_addresses = 3", "line 1: meta_addresses: '3' is no address"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_place(
    local: Path, text: str, place: str
) -> None:
    assert refused(local, text).startswith(f"{local}, {place}")


def test_a_variable_and_a_flag_are_named_as_they_are_written(local: Path) -> None:
    with pytest.raises(UsageError, match=r"^ZREG_LEASE_SECONDS is 'x', which cannot be used"):
        loaded(local, environment={"ZREG_LEASE_SECONDS": "x"})
    with pytest.raises(UsageError, match=r"^--lease-seconds is 'x', which cannot be used"):
        loaded(local, flags={"lease_seconds": "x"})
    with pytest.raises(UsageError, match=r"^--meta: 'x' is no address: write HOST:PORT"):
        loaded(local, flags={"meta_addresses": "x"})


def test_a_whole_that_cannot_work_is_refused(local: Path) -> None:
    assert "lease_seconds must be at least three times renew_seconds" in refused(
        local, "lease_seconds = 1.0\nrenew_seconds = 1.0\nping_seconds = 0.1"
    )


def test_the_flags_of_a_configuration_make_it_again(local: Path) -> None:
    """`zreg cluster` hands its settings to its nodes in this way."""
    config = Config(zone="z", lease_seconds=9.0, meta_addresses=("tcp://a:1", "tcp://b:2"))

    written = dict(each.split("=", 1) for each in as_flags(config))

    assert written == {"--zone": "z", "--lease-seconds": "9.0", "--meta": "tcp://a:1,tcp://b:2"}
    flags = {name: written.get(flag(name)) for name in CONFIG_FIELDS}
    assert loaded(local, flags=flags).config == config


def test_no_two_settings_share_a_name() -> None:
    names = [*CONFIG_FIELDS, *OPTION_FIELDS]

    assert len({flag(name) for name in names}) == len(names)
    assert len({variable(name) for name in names}) == len(names)


@pytest.mark.parametrize("text", ["", "host", "host:0", "host:70000", "http://host:1", "a:1,,b:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--meta: .* is no address: write HOST:PORT"):
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
        ("m4=0.0.0.0:9611", "at which the others reach it"),
        ("m4=[::]:9611", "at which the others reach it"),
    ],
)
def test_a_peer_is_a_name_and_a_place_to_reach_it(part: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        peers([part])


def test_a_peer_may_be_at_an_ipv6_address() -> None:
    assert peers(["m4=[fd00::4]:9611"]) == {"m4": "tcp://[fd00::4]:9611"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("meta = ['h:1']", "line 1: there is no setting 'meta': did you mean meta_addresses?"),
        ("lease-seconds = 3", "line 1: there is no setting 'lease-seconds': did you mean lease_se"),
        ("[clinet]", "line 1: there is no section 'clinet': did you mean [client]?"),
        ("url = 'zreg://h'", "line 1: there is no setting 'url': did you mean url in [client]?"),
        ("[client]\nurls = 'zreg://h'", "line 2: there is no setting 'urls' in [client], only url"),
        ("client = 'zreg://h'", "line 1: client must be a section, [client], with url in it"),
    ],
)
def test_a_name_at_the_wrong_place_is_refused_with_the_right_one(
    local: Path, text: str, said: str
) -> None:
    assert refused(local, text).startswith(f"{local}, {said}")


@pytest.mark.parametrize(
    ("variable_", "hint"),
    [
        ("ZREG_LEASE_SECOND", "did you mean ZREG_LEASE_SECONDS?"),
        ("ZREG_META", "did you mean ZREG_META_ADDRESSES?"),
        ("ZREG_ULR", "did you mean ZREG_URL?"),
        ("ZREG_XYZZY", "docs/configuration.md lists all settings"),
    ],
)
def test_a_variable_that_zreg_does_not_know_is_named_with_the_nearest(
    variable_: str, hint: str
) -> None:
    (said,) = unknown_variables({variable_: "3", "PATH": "/bin", "ZREG_URL": "zreg://h"})

    assert said == f"the variable {variable_} is none that zreg knows and has no effect: {hint}"


def test_all_variables_of_nodes_and_clients_are_known() -> None:
    names = [*map(variable, (*CONFIG_FIELDS, *OPTION_FIELDS)), "ZREG_URL", "ZREG_APP"]

    assert unknown_variables(dict.fromkeys(names, "x")) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("port = 'x'", "write a whole number from 0 to 65535; "),
        ("port = 65536", "write a whole number from 0 to 65535; "),
        ("clients_max = 1.5", "write a whole number; "),
        ("lease_seconds = 'long'", "write a number; "),
        ("insecure = 'maybe'", "write true or false; "),
        ("log_level = 'loud'", "write debug or error or info or warning; "),
        ("zone = 3", "write text; "),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_the_right_one(
    local: Path, text: str, wanted: str
) -> None:
    assert f", which cannot be used: {wanted}" in refused(local, text)


def test_a_directory_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory: name a file with -c"):
        load({}, {}, file=tmp_path)
