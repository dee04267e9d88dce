"""The numbers of each node that `zreg top` shows, and the rates between two looks; pure."""

import enum
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from zreg.cli.output import Json
from zreg.model import Member, Role
from zreg.wire.records.common_messages import StatisticsReply
from zreg.wire.records.meta_messages import MetaNodesReply

# Digits of a rate and of a time in JSON.
_DIGITS: Final = 6
NONE: Final = "-"


class Unit(enum.Enum):
    """How a number is made of a statistic, and shown."""

    COUNT = enum.auto()
    # How much a counter grew in each second since the last look.
    RATE = enum.auto()
    SECONDS = enum.auto()


class Column(msgspec.Struct, frozen=True):
    """One number of the nodes of a role: its name in JSON, its head, and the statistic."""

    key: str
    head: str
    statistic: str
    unit: Unit = Unit.COUNT
    # Only with `-o wide`, and in JSON.
    is_wide: bool = False


_PUBLISHERS: Final = Column("publishers", "publishers", "publishers")
COLUMNS: Final[Mapping[Role, tuple[Column, ...]]] = {
    Role.SESSION: (
        Column("clients", "clients", "clients"),
        Column("subscribers", "subscribers", "subscribers"),
        _PUBLISHERS,
        Column("publishes_per_second", "publishes/s", "publishes", Unit.RATE),
        Column("pushes_per_second", "pushes/s", "pushes", Unit.RATE),
        Column("push_lag_p50_seconds", "push lag", "push_lag_p50_seconds", Unit.SECONDS),
        Column(
            "push_lag_p99_seconds", "lag p99", "push_lag_p99_seconds", Unit.SECONDS, is_wide=True
        ),
        Column("pending", "pending", "pending", is_wide=True),
    ),
    Role.DATA: (
        Column("datums", "datums", "datums"),
        _PUBLISHERS,
        Column("changes_per_second", "changes/s", "hints", Unit.RATE),
        Column("sessions", "sessions", "sessions"),
        Column("copied_publishers", "copied publishers", "copied_publishers", is_wide=True),
    ),
    Role.META: (
        Column("term", "term", "raft_term"),
        Column("commits_per_second", "commits/s", "raft_commit_index", Unit.RATE),
        Column("leases", "leases", "leases"),
        Column("settings", "settings", "settings"),
        Column("commit_index", "commit index", "raft_commit_index", is_wide=True),
    ),
}


class SortBy(enum.StrEnum):
    """What the nodes of a role are sorted by: their id, or a number of theirs, the highest first.

    Nodes of a role that has no such number are sorted by their id.
    """

    NODE = "node"
    CLIENTS = "clients"
    SUBSCRIBERS = "subscribers"
    PUBLISHERS = "publishers"
    PUBLISHES = "publishes"
    PUSHES = "pushes"
    LAG = "lag"
    DATUMS = "datums"
    CHANGES = "changes"
    COMMITS = "commits"


_KEYS: Final = {
    SortBy.PUBLISHES: "publishes_per_second",
    SortBy.PUSHES: "pushes_per_second",
    SortBy.LAG: "push_lag_p50_seconds",
    SortBy.CHANGES: "changes_per_second",
    SortBy.COMMITS: "commits_per_second",
}


class NodeRow(msgspec.Struct, frozen=True):
    """One node at one look. A number is None if the node has not told it, or there is no rate."""

    role: Role
    node_id: str
    status: str
    # The part of a meta node in Raft; empty if no leader has told it, and for other roles.
    part: str
    numbers: Mapping[str, float | None]
    # Why the node told nothing; empty if it did.
    reason: str = ""


def row_of(
    member: Member,
    status: str,
    meta_nodes: MetaNodesReply | str,
    told: StatisticsReply | str,
    before: StatisticsReply | None,
) -> NodeRow:
    """Return the row of a member; `told` is the reason if it told nothing."""
    columns = COLUMNS[member.role]
    if isinstance(told, StatisticsReply):
        reason = ""
        numbers = {column.key: _number(column, told, before) for column in columns}
    else:
        reason, numbers = told, {column.key: None for column in columns}
    part = _part_of(member, meta_nodes)
    return NodeRow(member.role, member.node_id, status, part, numbers, reason)


def _part_of(member: Member, meta_nodes: MetaNodesReply | str) -> str:
    if member.role is not Role.META or not isinstance(meta_nodes, MetaNodesReply):
        return ""
    parts = (each.state for each in meta_nodes.nodes if each.node_id == member.node_id)
    part = next(parts, None)
    return "" if part is None else part.name.lower()


def _number(column: Column, told: StatisticsReply, before: StatisticsReply | None) -> float | None:
    value = _value(told, column.statistic)
    if value is None or column.unit is not Unit.RATE:
        return value
    # The counters of another process began again.
    if before is None or before.life != told.life:
        return None
    former = _value(before, column.statistic)
    seconds = (told.clock_milliseconds - before.clock_milliseconds) / 1000
    if former is None or former > value or seconds <= 0:
        return None
    return (value - former) / seconds


def _value(told: StatisticsReply, name: str) -> float | None:
    return next((each.value for each in told.statistics if each.name == name), None)


def sorted_rows(rows: Iterable[NodeRow], sort: SortBy) -> list[NodeRow]:
    """Return sessions, data nodes and meta nodes, each role in the order that is asked for."""
    key = _KEYS.get(sort, sort.value)
    roles = list(COLUMNS)

    def order(row: NodeRow) -> tuple[int, float, str]:
        number = row.numbers.get(key)
        return roles.index(row.role), 1 if number is None else -number, row.node_id

    return sorted(rows, key=order)


def table_of(
    role: Role, rows: Iterable[NodeRow], *, is_wide: bool
) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the cells of the nodes of a role."""
    columns = [each for each in COLUMNS[role] if is_wide or not each.is_wide]
    parts = ["part"] if role is Role.META else []
    heads = [f"{role.name.lower()} node", "status", *parts, *(each.head for each in columns)]
    cells = [
        [
            row.node_id,
            row.status,
            *([row.part or NONE] if parts else []),
            *(_cell(row.numbers[each.key], each.unit) for each in columns),
        ]
        for row in rows
        if row.role is role
    ]
    return heads, cells


def _cell(number: float | None, unit: Unit) -> str:
    if number is None:
        return NONE
    match unit:
        case Unit.COUNT:
            return f"{number:.0f}"
        case Unit.RATE:
            return f"{number:.1f}"
        case Unit.SECONDS:
            return f"{number * 1000:.1f} ms"


def row_json(row: NodeRow) -> Json:
    """Return a row for programs; counts are whole numbers."""
    units = {each.key: each.unit for each in COLUMNS[row.role]}
    return {
        "role": row.role.name.lower(),
        "node_id": row.node_id,
        "status": row.status,
        "reason": row.reason,
        **({"part": row.part or None} if row.role is Role.META else {}),
        **{key: _json(number, units[key]) for key, number in row.numbers.items()},
    }


def _json(number: float | None, unit: Unit) -> float | None:
    if number is None:
        return None
    return int(number) if unit is Unit.COUNT else round(number, _DIGITS)
