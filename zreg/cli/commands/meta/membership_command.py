"""`zreg nodes`: the members of the cluster."""

from collections.abc import Iterable
from typing import Final

from zreg.cli.asking.whole_cluster.cluster_view import gone_of, shown_members, status_of
from zreg.cli.flags import Format
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.cli.showing.cluster_findings import ClusterView
from zreg.membership.gone_nodes import gone_problems
from zreg.model import Member, Role
from zreg.wire.records.membership_messages import GoneNode
from zreg.wire.records.meta_messages import CopyProgress, MetaNodesReply

TIMEOUT_SECONDS: Final = 5.0


def show_nodes(view: ClusterView, output: Format) -> None:
    """List the nodes of the cluster."""
    membership, meta_nodes = view.membership, view.meta_nodes
    if isinstance(meta_nodes, str):
        complain(f"{meta_nodes}; the list shows the last known membership")
    members = shown_members(membership.members, meta_nodes)
    if output is Format.JSON:
        say_json([_member_json(each, meta_nodes) for each in members])
        return
    columns = ["role", "node id", "status", "address", "zone", "clients"]
    is_wide = output is Format.WIDE
    if is_wide:
        columns += ["joined at", "data center", "weight", "broadcasts at"]
    rows = [_member_row(each, meta_nodes, is_wide=is_wide) for each in members]
    print_table(columns, rows)
    for progress in copying_of(members, meta_nodes):
        say(progress_text(progress))
    for problem in gone_problems(gone_of(meta_nodes), membership):
        say(f"{problem.code}: {problem.detail}")
    say(f"epoch {membership.epoch}, ring epoch {membership.ring_epoch}")


def copying_of(members: Iterable[Member], meta_nodes: MetaNodesReply | str) -> list[CopyProgress]:
    """Return how far the members are that have copies to make."""
    progresses = meta_nodes.copying if isinstance(meta_nodes, MetaNodesReply) else ()
    living = {member.incarnation for member in members if member.role is Role.DATA}
    return [progress for progress in progresses if progress.incarnation in living]


def progress_text(progress: CopyProgress) -> str:
    """Return how far a data node is with its copies, for people."""
    node_id, equal, kept = progress.incarnation.node_id, progress.equal_count, progress.kept_count
    if not kept:
        return f"{node_id} has not told yet how many copies it has to make"
    return f"{node_id} makes copies: {equal} of {kept} buckets are equal ({100 * equal // kept} %)"


def client_count_of(member: Member, meta_nodes: MetaNodesReply | str) -> int | None:
    """Return how many clients a session has told; None of other nodes, or if it is not known."""
    loads = meta_nodes.session_loads if isinstance(meta_nodes, MetaNodesReply) else ()
    counts = (load.client_count for load in loads if load.session == member.incarnation)
    return next(counts, None)


def _member_row(member: Member, meta_nodes: MetaNodesReply | str, *, is_wide: bool) -> list[str]:
    client_count = client_count_of(member, meta_nodes)
    row = [
        member.role.name.lower(),
        member.node_id,
        status_of(member, meta_nodes),
        member.address.removeprefix("tcp://"),
        member.zone,
        "" if client_count is None else str(client_count),
    ]
    if is_wide:
        changes_address = member.changes_address.removeprefix("tcp://")
        row += [
            str(member.incarnation_epoch),
            member.data_center,
            str(member.weight),
            changes_address,
        ]
    return row


def _member_json(member: Member, meta_nodes: MetaNodesReply | str) -> Json:
    copying = copying_of([member], meta_nodes)
    gone = [each for each in gone_of(meta_nodes) if each.incarnation == member.incarnation]
    return {
        "role": member.role.name.lower(),
        "node_id": member.node_id,
        "status": status_of(member, meta_nodes),
        "copying": {
            "equal_buckets": copying[0].equal_count,
            "kept_buckets": copying[0].kept_count,
        }
        if copying
        else None,
        "gone": _gone_json(gone[0]) if gone else None,
        "address": member.address.removeprefix("tcp://"),
        "changes_address": member.changes_address.removeprefix("tcp://"),
        "zone": member.zone,
        "clients": client_count_of(member, meta_nodes),
        "data_center": member.data_center,
        "weight": member.weight,
        "incarnation_epoch": member.incarnation_epoch,
    }


def _gone_json(gone: GoneNode) -> Json:
    return {
        "reason": gone.reason,
        "epoch": gone.epoch,
        "seconds_ago": gone.milliseconds_ago / 1000,
        "seconds_lived": gone.milliseconds_lived / 1000,
        "is_at_least": gone.is_at_least,
        "count": gone.count,
    }
