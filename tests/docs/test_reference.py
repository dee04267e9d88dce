"""The reference pages list every record, field, setting, code and dependency, and no others."""

import ast
import configparser
import enum
import re
import tomllib

import msgspec
import pytest
from msgspec import inspect
from peer_systems.install import DEBIAN, PYPI
from tables import DOCS, ROOT, rows, sections, table

import zreg
from zreg import model
from zreg.config import Config, Limits
from zreg.errors import REFUSALS
from zreg.health import STUCK_SECONDS
from zreg.http.connections import (
    CONNECTION_SECONDS_MAX,
    CONNECTIONS_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    LINE_BYTES_MAX,
)
from zreg.http.responses import CODES
from zreg.wire.messages import TAGS
from zreg.wire.records.common_messages import Event, Statistic
from zreg.wire.records.data_messages import DatumSummary
from zreg.wire.records.membership_messages import GoneNode, SessionLoad, SessionLoads
from zreg.wire.records.meta_messages import MetaNodeState, MetaNodeStatus
from zreg.wire.records.raft_messages import Entry, EntryKind
from zreg.wire.records.settings_messages import SETTING_NAME_PATTERN, Setting

PROTOCOL = (DOCS / "protocol.md").read_text()
CONFIGURATION = (DOCS / "configuration.md").read_text()
DEPENDENCIES = (DOCS / "dependencies.md").read_text()

VALUES: list[type[msgspec.Struct]] = [
    model.Version,
    model.Incarnation,
    model.Publisher,
    model.Removal,
    model.Change,
    model.Member,
    model.RingParameters,
    model.Membership,
    DatumSummary,
    Event,
    Statistic,
    Entry,
    Setting,
    MetaNodeStatus,
    SessionLoad,
    SessionLoads,
    GoneNode,
]
ENUMS = [model.Scope, model.Role, model.Status, model.Cause, EntryKind, MetaNodeState]
STRUCTS: dict[str, type[msgspec.Struct]] = {
    f"{tag} `{kind.__name__}`": kind for tag, kind in TAGS.items()
} | {f"`{kind.__name__}`": kind for kind in VALUES}


def shown(default: object) -> str:
    """Return a default value as the tables of protocol.md write it."""
    named = {"": '""', b"": "empty", (): "[]", None: "nil", False: "false", True: "true"}
    if isinstance(default, model.Version):
        return str(default)
    if isinstance(default, model.Incarnation):
        return str(default)
    for value, text in named.items():
        if type(value) is type(default) and value == default:
            return text
    return str(default)


def fields(kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    """Return the field names and defaults that a record's table must show."""
    return [
        (field.name, "–" if field.required else shown(field.default))  # noqa: RUF001 -- a dash
        for field in msgspec.structs.fields(kind)
    ]


@pytest.mark.parametrize("heading", STRUCTS)
def test_the_table_of_a_record_or_value_lists_its_fields(heading: str) -> None:
    kind = STRUCTS[heading]
    found = table(heading, PROTOCOL)

    assert [(row[1], row[3]) for row in found] == fields(kind)
    first = 1 if kind in TAGS.values() else 0  # position 0 of a record is its tag
    assert [row[0] for row in found] == [str(first + place) for place in range(len(found))]
    assert all(row[2] and row[4] for row in found)


def test_protocol_md_describes_exactly_the_records_that_exist() -> None:
    headings = {h for h in sections(PROTOCOL) if re.fullmatch(r"\d+ `\w+`", h)}

    assert headings == {heading for heading in STRUCTS if heading[0].isdigit()}


def test_the_dialogs_of_protocol_md_use_every_record_and_no_other() -> None:
    dialogs = "\n".join(text for name, text in sections(PROTOCOL).items() if "abnf" in text)
    named = set(re.findall(r"\b[CS]:(\w+)", dialogs))

    names = {kind.__name__ for kind in TAGS.values()}
    assert named <= names
    assert names - named == set()


def number(value: float | None) -> str:
    """Return how the tables write a bound: a power of two is shown as such if it is large."""
    powers = {
        2**power - less: f"2^{power}{-less or ''}" for power in (32, 53, 62, 63) for less in (0, 1)
    }
    return powers.get(value or 0, str(value))


def float_type_of(kind: inspect.FloatType) -> str:
    if kind.ge is not None:
        return f"float, {kind.ge} to {number(kind.le)}"
    return f"float, > {kind.gt}, ≤ {kind.le}"


def type_of(kind: inspect.Type) -> str:
    """Return how the tables write a type with its bounds."""
    match kind:
        case inspect.IntType(ge=low, le=high, lt=end):
            return f"int, {number(low)} to {number(high if end is None else end - 1)}"
        case inspect.FloatType():
            return float_type_of(kind)
        case inspect.BytesType(min_length=low, max_length=high):
            return f"bin({high})" if low == high else f"bin, ≤ {high}"
        case inspect.StrType(pattern=str() as pattern):
            return "setting name" if pattern == SETTING_NAME_PATTERN else "name"
        case inspect.StrType(min_length=low, max_length=high):
            return f"str, {low} to {high}" if low else f"str, ≤ {high}"
        case inspect.VarTupleType():
            return f"array of {type_of(kind.item_type)}, ≤ {kind.max_length}"
        case inspect.TupleType():
            return f"({', '.join(map(type_of, kind.item_types))})"
        case inspect.UnionType():
            return " or ".join(map(type_of, kind.types))
        case inspect.EnumType() | inspect.StructType():
            return f"`{kind.cls.__name__}`"
        case _:
            return {inspect.BoolType: "bool", inspect.NoneType: "nil"}[type(kind)]


@pytest.mark.parametrize("heading", STRUCTS)
def test_the_table_of_a_record_or_value_has_the_types_of_its_fields(heading: str) -> None:
    definition = inspect.type_info(STRUCTS[heading])
    assert isinstance(definition, inspect.StructType)

    types = [type_of(field.type).strip("`") for field in definition.fields]
    assert [row[2] for row in table(heading, PROTOCOL)] == types


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: kind.__name__)
def test_the_table_of_an_enumeration_lists_its_values(kind: type[enum.IntEnum]) -> None:
    found = [(row[0], row[1]) for row in table(f"`{kind.__name__}`", PROTOCOL)]

    assert found == [(str(member.value), member.name) for member in kind]


def test_protocol_md_lists_every_refusal_code() -> None:
    found = [(row[0], row[1]) for row in table("12. Codes", PROTOCOL)]

    assert found == [(str(code), error.__name__) for code, error in REFUSALS.items()]


def test_protocol_md_lists_every_limit_with_its_value() -> None:
    limits = {name: str(value) for name, value in vars(Limits).items() if name[0] != "_"}

    assert {row[0]: row[1] for row in table("13. Limits", PROTOCOL)} == limits


def test_configuration_md_lists_every_setting_with_its_default() -> None:
    found = {row[0]: row[1] for row in rows(CONFIGURATION)}
    defaults = {
        field.name: msgspec.json.encode(field.default).decode().replace(",", ", ")
        for field in msgspec.structs.fields(Config)
    }

    assert found == defaults


def test_configuration_md_says_what_for_loopback_changes() -> None:
    lan, loopback = Config.for_lan(), Config.for_loopback()
    changed = {
        name: getattr(loopback, name)
        for name in Config.__struct_fields__
        if getattr(lan, name) != getattr(loopback, name)
    }

    opening = sections(CONFIGURATION)["Configuration"].replace("\n", " ")
    assert all(f"`{name}` is {value}" in opening for name, value in changed.items())
    assert len(re.findall(r"`\w+` is [\d.]+", opening)) == len(changed)


def name_of(requirement: str) -> str:
    """Return the package name of a requirement, without its version."""
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found, requirement
    return found[0]


def test_the_version_is_that_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert zreg.__version__ == project["project"]["version"]


def test_dependencies_md_lists_every_dependency_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    extras = project["project"].get("optional-dependencies", {})
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(requirement for extra in extras.values() for requirement in extra),
        *(
            requirement
            for section in tox.sections()
            for requirement in tox.get(section, "deps", fallback="").split()
        ),
        *(package for packages in (*PYPI.values(), *DEBIAN.values()) for package in packages),
    ]

    names = {name_of(requirement) for requirement in wanted}
    found = [row[0] for row in rows(DEPENDENCIES)]
    assert set(found) == names
    assert len(found) == len(set(found))


OPERATING = (DOCS / "operating.md").read_text()


def calls_of(name: str) -> list[ast.Call]:
    """Return every call of a function or class by this name in `zreg/`."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "zreg").rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in nodes if ast.unparse(node.func) == name]


def test_operating_md_lists_every_problem_code_once() -> None:
    codes = {ast.literal_eval(call.args[0]) for call in calls_of("Problem")}

    found = [row[0] for row in rows(sections(OPERATING)["Health"]) if "/" not in row[0]]

    assert set(found) == codes
    assert len(found) == len(codes) > 10


def test_operating_md_states_the_limits_and_error_codes_of_http() -> None:
    text = sections(OPERATING)["Health"].replace("\n", " ")

    for words in (
        f"lives for {CONNECTION_SECONDS_MAX:g} s",
        f"{CONNECTIONS_MAX} connections",
        f"{LINE_BYTES_MAX >> 10} KiB for the request line",
        f"{HEADERS_MAX} headers of {HEADER_BYTES_MAX >> 10} KiB",
        f"for {STUCK_SECONDS:g} s",
        *(f"`{code}` ({status}" for status, code in CODES.items()),
    ):
        assert words in text, words
