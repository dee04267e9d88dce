"""What commands show of the ring: rows for tables, sentences, JSON; pure, so that tests compare."""

from collections.abc import Mapping
from typing import Final

from zreg.cli.output import Json
from zreg.config import Limits
from zreg.model import DataInfoId, Member, Membership, Role, Status
from zreg.primitives.ring import bucket_of, ring_of
from zreg.primitives.ring_plan import Cost, Share, cost_of, ring_members, shares_of, total_of

SHARE_COLUMNS: Final = ("node id", "status", "zone", "weight", "primary", "copies", "as guest")
PLACEMENT_COLUMNS: Final = ("ring", "bucket", "primary", "replicas", "guests")

_NodeShare = tuple[Member, Share]
# The buckets as primary, as a copy, and as guest; None where a node cannot have such buckets.
_Counts = tuple[int | None, int | None, int | None]


def copies_text(membership: Membership, name: DataInfoId) -> str:
    """Return on which data nodes the ring places an id, for people."""
    primary, replicas, guests = _placement(name, membership)
    first = () if primary is None else (f"{primary} (primary)",)
    texts = [*first, *replicas, *(f"{node_id} (guest)" for node_id in guests)]
    return ", ".join(texts) or "none, because no data node is WORKING"


def share_rows(now: Membership, planned: Membership | None, *, is_wide: bool) -> list[list[str]]:
    """Return a row for each data node, and the total; with a plan a cell tells both shares."""
    each_now = _shares(now)
    each_then = each_now if planned is None else _shares(planned)
    rows = []
    for node_id in dict.fromkeys([*each_now, *each_then]):
        pair = each_now.get(node_id), each_then.get(node_id)
        rows.append(_node_row(*pair, is_wide=is_wide))
    totals = (total_of(shares_of(now)), total_of(shares_of(planned or now)))
    cells = _share_cells(*map(_counts, totals), is_wide=is_wide)
    return [*rows, ["total", "", "", "", *cells]]


def copy_count_text(membership: Membership) -> str:
    """Return how many copies of a bucket there are, and why there are not more."""
    wanted, working = membership.ring.replica_count, len(membership.of(Role.DATA))
    start = f"shares of {Limits.bucket_count} buckets, replica_count {wanted}"
    if working >= wanted:
        return start
    nodes = "1 data node is" if working == 1 else f"{working} data nodes are"
    return f"{start} (only {nodes} WORKING)"


def cost_text(cost: Cost) -> str:
    """Return what a change costs, for people."""
    return (
        f"{cost.other_primary_buckets} of {Limits.bucket_count} buckets get another primary; "
        f"{cost.copies_made} of {cost.copies_after} copies have to be made "
        f"({_percent(cost.copies_made, cost.copies_after)})"
    )


def _shares(membership: Membership) -> Mapping[str, _NodeShare]:
    shares = shares_of(membership)
    return {m.node_id: (m, shares[m.node_id]) for m in ring_members(membership)}


def _node_row(now: _NodeShare | None, then: _NodeShare | None, *, is_wide: bool) -> list[str]:
    node_now, node_then = now or then, then or now
    assert node_now is not None
    assert node_then is not None
    member_now, member_then = node_now[0], node_then[0]
    status = "added" if now is None else "removed" if then is None else member_now.status.name
    cells = _share_cells(_counts_of(now), _counts_of(then), is_wide=is_wide)
    weight = _both(str(member_now.weight), str(member_then.weight))
    return [member_now.node_id, status, member_now.zone, weight, *cells]


def _counts_of(node: _NodeShare | None) -> _Counts:
    if node is None:
        return None, None, None
    member, share = node
    primary, held, guest = _counts(share)
    return (primary, held, None) if member.status is Status.WORKING else (None, None, guest)


def _counts(share: Share) -> _Counts:
    return share.primary_buckets, share.held_buckets, share.guest_buckets


def _share_cells(now: _Counts, then: _Counts, *, is_wide: bool) -> list[str]:
    """Return a cell for each pair of counts, empty where the node has none now and then."""
    return [
        ""
        if count_now is None and count_then is None
        else _both(
            _count_text(count_now or 0, is_wide=is_wide),
            _count_text(count_then or 0, is_wide=is_wide),
        )
        for count_now, count_then in zip(now, then, strict=True)
    ]


def _both(now: str, then: str) -> str:
    return now if now == then else f"{now} -> {then}"


def _count_text(count: int, *, is_wide: bool) -> str:
    percent = _percent(count, Limits.bucket_count)
    return f"{count} ({percent})" if is_wide else percent


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.1f} %"


def shares_json(now: Membership, planned: Membership | None) -> Json:
    """Return the shares for programs; with a plan also those after it, and its cost."""
    document = {"epoch": now.epoch, "ring_epoch": now.ring_epoch, **_shares_json(now)}
    if planned is not None:
        cost = cost_of(ring_of(now), ring_of(planned))
        document["planned"] = _shares_json(planned) | {
            "other_primary_buckets": cost.other_primary_buckets,
            "copies_made": cost.copies_made,
            "copies_after": cost.copies_after,
        }
    return document


def _shares_json(membership: Membership) -> dict[str, Json]:
    return {
        "bucket_count": Limits.bucket_count,
        "replica_count": membership.ring.replica_count,
        "nodes": [
            {
                "node_id": member.node_id,
                "status": member.status.name,
                "zone": member.zone,
                "weight": member.weight,
                "primary_buckets": share.primary_buckets,
                "held_buckets": share.held_buckets,
                "guest_buckets": share.guest_buckets,
            }
            for member, share in _shares(membership).values()
        ],
    }


def placement_rows(
    name: DataInfoId, now: Membership, planned: Membership | None
) -> list[list[str]]:
    """Return a row that says where an id is; with a plan another one."""
    rows = [["now", *_placement_cells(name, now)]]
    if planned is not None:
        rows.append(["planned", *_placement_cells(name, planned)])
    return rows


def placement_json(name: DataInfoId, now: Membership, planned: Membership | None) -> Json:
    """Return for programs where an id is; with a plan also where it would be."""
    document = {"data_info_id": name, "bucket": bucket_of(name), **_placement_json(name, now)}
    if planned is not None:
        document["planned"] = _placement_json(name, planned)
    return document


def _placement_cells(name: DataInfoId, membership: Membership) -> list[str]:
    primary, replicas, guests = _placement(name, membership)
    return [
        str(bucket_of(name)),
        primary or "no data node is WORKING",
        ", ".join(replicas),
        ", ".join(guests),
    ]


def _placement_json(name: DataInfoId, membership: Membership) -> dict[str, Json]:
    primary, replicas, guests = _placement(name, membership)
    return {"primary": primary, "replicas": replicas, "guests": guests}


def _placement(
    name: DataInfoId, membership: Membership
) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """Return the primary of an id, its replicas in order, and its guests."""
    ring, bucket = ring_of(membership), bucket_of(name)
    placement = ring.placements[bucket]
    return ring.primary_of(bucket), placement[1:], ring.guests[bucket]
