"""`ls`, `nodes`, `version`: one question each, put to a session or to meta."""

import os
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from platform import python_version
from typing import Annotated, Final

import typer

from zreg.cli.ask import ask_now
from zreg.cli.exits import NOT_FOUND, CommandFailedError
from zreg.cli.flags import Cluster, Format, Output, Timeout, Url
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.process.node_options import load
from zreg.cli.targets import Meta, place, session_addresses
from zreg.config import Config, Limits
from zreg.effects import Link
from zreg.errors import RefusedError, UnavailableError, UsageError
from zreg.model import (
    DEFAULT_GROUP,
    DEFAULT_INSTANCE_ID,
    Member,
    Role,
    split_data_info_id,
)
from zreg.wire.data_messages import DatumsListed, DatumSummary, ListDatums
from zreg.wire.membership_messages import FetchMembership, MembershipReply
from zreg.wire.messages import PROTOCOL_VERSION
from zreg.wire.meta_messages import FetchMetaNodes, MetaNodesReply

_TIMEOUT_SECONDS: Final = 5.0
# The leader says at once whom it hears; a session without one takes less to say so.
_META_SECONDS_MAX: Final = 2.0
# Raft's leader hears of each node several times a second.
_SILENT_MILLISECONDS: Final = 1500
_LIBRARIES: Final = ("pyzmq", "msgspec", "msgpack", "typer", "rich", "loguru")


def ls(
    pattern: Annotated[
        str, typer.Argument(metavar="[GLOB]", help="Which ids: * ? [...] as in a shell.")
    ] = "*",
    *,
    url: Url = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List what is published."""
    if len(pattern) > Limits.id_part_characters_max:
        raise UsageError(
            f"the pattern has {len(pattern)} characters: write at most "
            f"{Limits.id_part_characters_max}"
        )
    found = [line for line in _list(pattern, url, cluster, timeout_seconds) if line.publisher_count]
    if output is Format.JSON:
        say_json([_datum_json(line) for line in found])
    elif found:
        _print_datums(found, is_wide=output is Format.WIDE)
    elif pattern == "*":
        say("Nothing is published yet: try `zreg publish ID VALUE --hold`.")
    if not found and pattern != "*":
        raise CommandFailedError(
            f"nothing is published that matches {pattern!r}: see all there is with `zreg ls`",
            code=NOT_FOUND,
        )


def _print_datums(found: list[DatumSummary], *, is_wide: bool) -> None:
    columns = ["id", "group", "instance id", "publishers", "version"]
    rows = [_datum_row(line) for line in found]
    if not is_wide and all(row[1:3] == [DEFAULT_GROUP, DEFAULT_INSTANCE_ID] for row in rows):
        columns, rows = [columns[0], *columns[3:]], [[row[0], *row[3:]] for row in rows]
    print_table(columns, rows)


def nodes(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = _TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the nodes of the cluster."""
    link, addresses = place(url, meta)
    config = load({"cluster": cluster}, os.environ).config
    question = FetchMembership, MembershipReply
    reply = ask_now(link, addresses, question, config=config, timeout_seconds=timeout_seconds)
    members = reply.membership.members
    heard: MetaNodesReply | str = reply.trouble
    if not reply.trouble:
        heard = _meta_nodes(link, addresses, config, timeout_seconds)
    if isinstance(heard, str):
        complain(f"{heard}; what is shown is the last that was known")
    if output is Format.JSON:
        say_json([_member_json(m, status_of(m, heard)) for m in members])
        return
    columns = ["role", "node id", "status", "address", "zone"]
    is_wide = output is Format.WIDE
    if is_wide:
        columns += ["joined at", "data center", "weight", "announces at"]
    rows = [_member_row(m, status_of(m, heard), is_wide=is_wide) for m in members]
    print_table(columns, rows)
    say(f"epoch {reply.membership.epoch}, ring epoch {reply.membership.ring_epoch}")


def _meta_nodes(
    link: Link, addresses: Sequence[str], config: Config, timeout_seconds: float
) -> MetaNodesReply | str:
    """Ask the leader whom of meta it hears, or return why it cannot say so."""
    seconds = min(timeout_seconds, _META_SECONDS_MAX)
    question = FetchMetaNodes, MetaNodesReply
    try:
        return ask_now(link, addresses, question, config=config, timeout_seconds=seconds)
    except (RefusedError, UnavailableError) as error:
        return str(error)


def status_of(member: Member, heard: MetaNodesReply | str) -> str:
    """Return what a member is to be shown as; `heard` is what meta's leader says, or why not.

    Sessions and data nodes have a lease, which ends when they are gone. Meta nodes have none: their
    part is Raft's, and whether one of them lives is what the leader hears of it.
    """
    if member.role is not Role.META:
        return member.status.name
    nodes = heard.nodes if isinstance(heard, MetaNodesReply) else ()
    node = next((node for node in nodes if node.node_id == member.node_id), None)
    if node is None:
        return "UNKNOWN"
    is_silent = node.trouble or node.silent_milliseconds >= _SILENT_MILLISECONDS
    return "SILENT" if is_silent else member.status.name


def version(output: Output = Format.TABLE) -> None:
    """Show the version of zreg, its protocol and its libraries."""
    own = _version_of("zreg")
    libraries = {name: _version_of(name) for name in _LIBRARIES}
    if output is Format.JSON:
        say_json(
            {
                "zreg": own,
                "protocol": PROTOCOL_VERSION,
                "python": python_version(),
                "libraries": libraries,
            }
        )
        return
    say(f"zreg {own}, protocol {PROTOCOL_VERSION}, Python {python_version()}")
    if output is Format.WIDE:
        for name, number in libraries.items():
            say(f"{name} {number}")


def _version_of(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _list(
    pattern: str, url: str | None, cluster: str | None, timeout_seconds: float
) -> list[DatumSummary]:
    """Ask for page after page; a pattern without parts is one of data ids."""
    addresses = session_addresses(url)
    config = load({"cluster": cluster}, os.environ).config
    full_pattern = pattern if "#@#" in pattern or pattern == "*" else f"{pattern}#@#*"
    found: list[DatumSummary] = []
    while True:
        after = found[-1].data_info_id if found else ""
        answer = ask_now(
            Link.SESSION,
            addresses,
            (partial(ListDatums, pattern=full_pattern, after=after), DatumsListed),
            config=config,
            timeout_seconds=timeout_seconds,
        )
        found += answer.datums
        if answer.is_complete or not answer.datums:
            return found


def _datum_row(line: DatumSummary) -> list[str]:
    data_id, instance_id, group = split_data_info_id(line.data_info_id)
    return [data_id, group, instance_id, str(line.publisher_count), str(line.version)]


def _datum_json(line: DatumSummary) -> Json:
    data_id, instance_id, group = split_data_info_id(line.data_info_id)
    return {
        "data_info_id": line.data_info_id,
        "data_id": data_id,
        "group": group,
        "instance_id": instance_id,
        "publishers": line.publisher_count,
        "version": str(line.version),
    }


def _member_row(member: Member, status: str, *, is_wide: bool) -> list[str]:
    row = [
        member.role.name.lower(),
        member.node_id,
        status,
        member.address.removeprefix("tcp://"),
        member.zone,
    ]
    if is_wide:
        announces_at = member.changes_address.removeprefix("tcp://")
        row += [str(member.incarnation_epoch), member.data_center, str(member.weight), announces_at]
    return row


def _member_json(member: Member, status: str) -> Json:
    return {
        "role": member.role.name.lower(),
        "node_id": member.node_id,
        "status": status,
        "address": member.address.removeprefix("tcp://"),
        "changes_address": member.changes_address.removeprefix("tcp://"),
        "zone": member.zone,
        "data_center": member.data_center,
        "weight": member.weight,
        "incarnation_epoch": member.incarnation_epoch,
    }
