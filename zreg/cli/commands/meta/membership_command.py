"""`zreg nodes`: the members of the cluster."""

from collections.abc import Iterable
from typing import Final

from zreg.cli.asking.ask import ask_now
from zreg.cli.asking.targets import Target, find_target
from zreg.cli.flags import Cluster, Format, Meta, Output, Timeout, Url
from zreg.cli.output import Json, complain, print_table, say, say_json
from zreg.errors import RefusedError, UnavailableError
from zreg.membership.gone_nodes import gone_problems
from zreg.model import Member, Role, Status, in_order
from zreg.wire.records.membership_messages import FetchMembership, GoneNode, MembershipReply
from zreg.wire.records.meta_messages import CopyProgress, FetchMetaNodes, MetaNodesReply

TIMEOUT_SECONDS: Final = 5.0
# Meta's leader answers at once, and a session without a leader says so within this time.
_META_SECONDS_MAX: Final = 2.0
# Raft's leader hears from each meta node several times a second.
_SILENT_MILLISECONDS: Final = 1500


def nodes(
    *,
    url: Url = None,
    meta: Meta = None,
    cluster: Cluster = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
    output: Output = Format.TABLE,
) -> None:
    """List the nodes of the cluster."""
    target = find_target(url, meta, cluster)
    question = FetchMembership, MembershipReply
    reply = ask_now(target, question, timeout_seconds=timeout_seconds)
    membership = reply.membership
    meta_nodes: MetaNodesReply | str = reply.trouble
    if not reply.trouble:
        meta_nodes = _fetch_meta_nodes(target, timeout_seconds)
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
    say(f"epoch {reply.membership.epoch}, ring epoch {reply.membership.ring_epoch}")


def _fetch_meta_nodes(target: Target, timeout_seconds: float) -> MetaNodesReply | str:
    """Return which meta nodes the leader hears, or the reason why it cannot say so."""
    seconds = min(timeout_seconds, _META_SECONDS_MAX)
    try:
        return ask_now(target, (FetchMetaNodes, MetaNodesReply), timeout_seconds=seconds)
    except (RefusedError, UnavailableError) as error:
        return str(error)


def gone_of(meta_nodes: MetaNodesReply | str) -> tuple[GoneNode, ...]:
    """Return the nodes that were lost; none if meta's leader did not answer."""
    return meta_nodes.gone if isinstance(meta_nodes, MetaNodesReply) else ()


def shown_members(
    members: Iterable[Member], meta_nodes: MetaNodesReply | str
) -> tuple[Member, ...]:
    """Return the members and the lost nodes, in the order of a membership.

    A lost session stays in the membership for its grace.
    """
    listed = {member.incarnation: member for member in members}
    for gone in gone_of(meta_nodes):
        node_id, epoch = gone.incarnation.node_id, gone.incarnation.epoch
        lost = Member(node_id, gone.role, epoch, Status.DEPARTED, gone.address)
        listed.setdefault(gone.incarnation, lost)
    return in_order(listed.values())


def status_of(member: Member, meta_nodes: MetaNodesReply | str) -> str:
    """Return the status to show for a member.

    `meta_nodes` is the answer of meta's leader, or the reason why there is none. Sessions and data
    nodes have a lease, so the membership tells whether they live. Meta nodes have none: whether one
    of them lives is known only by the leader of Raft, which hears from it or does not. GONE is a
    node that was lost, SILENT also one that is not heard and stays, since no other node of its role
    could take its place.
    """
    reply = meta_nodes if isinstance(meta_nodes, MetaNodesReply) else None
    if member.role is not Role.META:
        if any(gone.incarnation == member.incarnation for gone in gone_of(meta_nodes)):
            return "GONE"
        is_kept = reply is not None and member.incarnation in reply.silent
        return "SILENT" if is_kept else member.status.name
    nodes = () if reply is None else reply.nodes
    node = next((node for node in nodes if node.node_id == member.node_id), None)
    if node is None:
        return "UNKNOWN"
    is_silent = node.trouble or node.silent_milliseconds >= _SILENT_MILLISECONDS
    return "SILENT" if is_silent else member.status.name


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
