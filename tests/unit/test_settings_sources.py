"""Where settings come from, and how one that cannot be used is reported."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from zreg.cli.options.node_options import CONFIG_FIELDS, NodeOptions, as_flags, flag
from zreg.cli.options.settings_sources import Settings, load_settings
from zreg.config import Config
from zreg.errors import UsageError


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return tmp_path / "zreg.toml"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    return tmp_path / "system.toml"


def settings(
    local: Path,
    system: Path | None = None,
    flags: Mapping[str, str | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    return load_settings(flags or {}, environment or {}, paths=[local, system or local])


def refused(local: Path, text: str) -> str:
    """Return the error with which a file is refused."""
    local.write_text(text)
    with pytest.raises(UsageError) as caught:
        settings(local)
    return str(caught.value)


def test_without_any_source_all_settings_are_defaults(local: Path) -> None:
    assert settings(local) == Settings(Config.for_lan(), NodeOptions())


def test_the_first_source_that_has_a_value_wins(local: Path, system: Path) -> None:
    """Flag, variable, ./zreg.toml, /etc/zreg/zreg.toml, default: field by field."""
    system.write_text("zone = 'system'\ndata_center = 'system'\ncluster = 'system'\nid = 'system'")
    local.write_text("zone = 'local'\ndata_center = 'local'\ncluster = 'local'")
    environment = {"ZREG_ZONE": "variable", "ZREG_DATA_CENTER": "variable", "ZREG_URL": "ignored"}

    found = settings(local, system, {"zone": "flag", "cluster": None}, environment)

    assert found.config.zone == "flag"
    assert found.config.data_center == "variable"
    assert found.config.cluster == "local"
    assert found.options.id == "system"
    assert found.config.lease_seconds == Config().lease_seconds


def test_a_named_file_replaces_the_local_one(local: Path, system: Path) -> None:
    local.write_text("zone = 'local'")
    named = local.with_name("named.toml")
    named.write_text("data_center = 'named'")
    system.write_text("cluster = 'system'")

    found = load_settings({}, {}, file=named, paths=[local, system]).config

    assert (found.zone, found.data_center, found.cluster) == ("", "named", "system")


def test_a_named_file_must_exist(local: Path) -> None:
    with pytest.raises(UsageError, match=r"zreg\.toml does not exist: create it"):
        load_settings({}, {}, file=local)


def test_every_type_of_value_can_be_written_as_text(local: Path) -> None:
    flags = {
        "lease_seconds": "6",
        "clients_max": "7",
        "meta_addresses": "one:9610, tcp://two:9610,one:9610",
        "insecure": "True",
        "port": "0",
        "log_level": "debug",
    }

    found = settings(local, flags=flags)

    assert found.config.lease_seconds == 6.0
    assert found.config.clients_max == 7
    assert found.config.meta_addresses == ("tcp://one:9610", "tcp://two:9610")
    assert found.options == NodeOptions(insecure=True, port=0, log_level="debug")


def test_a_file_has_typed_values_and_a_table_for_clients(local: Path) -> None:
    local.write_text(
        "lease_seconds = 6\nmeta_addresses = ['one:9610', 'tcp://two:9610']\n"
        "insecure = true\n[client]\nurl = 'zreg://elsewhere:9600'\n"
    )

    found = settings(local)

    assert found.config.lease_seconds == 6.0
    assert found.config.meta_addresses == ("tcp://one:9610", "tcp://two:9610")
    assert found.options.insecure


def test_an_unknown_name_is_refused_with_the_nearest_known_one(local: Path) -> None:
    error = refused(local, "zone = 'a'\n\nlease_second = 3\n")

    assert (
        error == f"{local}, line 3: there is no setting 'lease_second': did you mean lease_seconds?"
    )


def test_an_unknown_name_that_resembles_none_points_to_the_list(local: Path) -> None:
    assert "docs/configuration.md lists all settings" in refused(local, "[xyzzy]\na = 1\n")


def test_a_file_that_is_not_toml_is_named_with_the_line(local: Path) -> None:
    error = refused(local, "zone = 'a'\nlease_seconds = = 3\n")

    assert error.startswith(f"{local} is not valid TOML: line 2, column 17: ")
    assert error.endswith("; correct it")


def test_a_file_that_is_not_text_is_named(local: Path) -> None:
    local.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="is encoded in UTF-16"):
        settings(local)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lease_seconds = 'long'", "line 1: lease_seconds is 'long'"),
        ("lease_seconds = true", "line 1: lease_seconds is True"),
        ("\nzone = 5", "line 2: zone is 5"),
        ("port = 70000", "line 1: port is 70000"),
        ("log_level = 'loud'", "line 1: log_level is 'loud'"),
        ("meta_addresses = ['nowhere']", "line 1: meta_addresses: 'nowhere' is not an address"),
        ("meta_addresses = []", "line 1: meta_addresses: '' is not an address"),
        ("meta_addresses = 3", "line 1: meta_addresses: '3' is not an address"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_place(
    local: Path, text: str, place: str
) -> None:
    assert refused(local, text).startswith(f"{local}, {place}")


def test_a_variable_and_a_flag_are_named_as_they_are_written(local: Path) -> None:
    with pytest.raises(UsageError, match=r"^ZREG_LEASE_SECONDS is 'x', which cannot be used"):
        settings(local, environment={"ZREG_LEASE_SECONDS": "x"})
    with pytest.raises(UsageError, match=r"^--lease-seconds is 'x', which cannot be used"):
        settings(local, flags={"lease_seconds": "x"})
    with pytest.raises(UsageError, match=r"^--meta: 'x' is not an address: write HOST:PORT"):
        settings(local, flags={"meta_addresses": "x"})


def test_settings_that_contradict_each_other_are_refused(local: Path) -> None:
    assert "lease_seconds must be at least three times renew_seconds" in refused(
        local, "lease_seconds = 1.0\nrenew_seconds = 1.0\nping_seconds = 0.1"
    )


def test_the_flags_made_from_a_configuration_give_it_back(local: Path) -> None:
    """`zreg cluster` passes its settings to its nodes in this way."""
    config = Config(zone="z", lease_seconds=9.0, meta_addresses=("tcp://a:1", "tcp://b:2"))

    written = dict(each.split("=", 1) for each in as_flags(config, "data"))

    assert written == {"--zone": "z", "--lease-seconds": "9.0", "--meta": "tcp://a:1,tcp://b:2"}
    flags = {name: written.get(flag(name)) for name in CONFIG_FIELDS}
    assert settings(local, flags=flags).config == config


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("meta = ['h:1']", "line 1: there is no setting 'meta': did you mean meta_addresses?"),
        ("lease-seconds = 3", "line 1: there is no setting 'lease-seconds': did you mean lease_se"),
        ("[clinet]", "line 1: there is no section 'clinet': did you mean [client]?"),
        ("url = 'zreg://h'", "line 1: there is no setting 'url': did you mean url in [client]?"),
        ("[client]\nurls = 'zreg://h'", "line 2: there is no setting 'urls' in [client], only url"),
        ("client = 'zreg://h'", "line 1: client must be a section, [client], with url in it"),
    ],
)
def test_a_name_at_the_wrong_place_is_refused_with_the_right_place(
    local: Path, text: str, error: str
) -> None:
    assert refused(local, text).startswith(f"{local}, {error}")


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_a_value_of_the_wrong_type_is_refused_with_what_to_write(
    local: Path, text: str, expected: str
) -> None:
    assert f", which cannot be used: {expected}" in refused(local, text)


def test_a_directory_is_refused_as_a_settings_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory: name a file with -c"):
        load_settings({}, {}, file=tmp_path)
