"""How far the gathering of founders is, as a sentence for people."""

from collections import Counter
from collections.abc import Sequence

from zreg.meta.founding.met_clusters import MetClusters, nodes_text
from zreg.meta.peers.identity import Identity
from zreg.wire.records.meta_messages import Founder, FoundingReply, FoundingStage


def progress_sentence(
    me: Identity,
    companions: Sequence[FoundingReply],
    strangers: Sequence[FoundingReply],
    met_clusters: MetClusters,
) -> str:
    """Return how many founders are found, which, and what keeps them from founding a cluster.

    `strangers` are nodes without a cluster that do not count.
    """
    address = me.address.removeprefix("tcp://")
    if met_clusters:
        return (
            f"{me.node_id} has met {met_clusters.sentence()}: it does not found another one and "
            f"waits to be added: run `zreg meta add {me.node_id}={address}` with --meta naming one "
            "of them, or give this cluster another name"
        )
    found = [*companions, _myself(me)]
    found.sort(key=lambda each: each.sender)
    seen = f"seen {nodes_text(found)}"
    head = f"{len(found)} of {me.bootstrap_expect} found: "
    return f"{head}{_what_is_missing(me, companions)}; {seen}{_strangers_text(strangers)}"


def silent_text(silent: Sequence[tuple[str, str, str]]) -> str:
    """Return which announced nodes do not count, and why."""
    if not silent:
        return ""
    texts = [f"{name} at {at.removeprefix('tcp://')} ({why})" for name, at, why in silent]
    return f"; announced, but not counted: {', '.join(texts)}"


def _myself(me: Identity) -> FoundingReply:
    stage, expect = FoundingStage.EMPTY, me.bootstrap_expect
    return FoundingReply(0, me.node_id, me.address, me.journal_id, stage, expect, (), "", b"")


def _what_is_missing(me: Identity, companions: Sequence[FoundingReply]) -> str:
    """Return what is missing until a list can be written, and what to do if that does not come."""
    counts = Counter([me.node_id, *(each.sender for each in companions)])
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        return f"several nodes are called {', '.join(twice)}: give each another --id"
    written = [each for each in companions if each.stage is FoundingStage.LISTED]
    for each in written:
        if Founder(me.node_id, me.address) not in each.founders:
            return _list_without(me, each.founders)
    missing_count = me.bootstrap_expect - 1 - len(companions)
    if missing_count > 0:
        return f"waiting for {'one' if missing_count == 1 else missing_count} more"
    if missing_count < 0:
        return (
            f"too many, and none of them founds a cluster: stop {_count(-missing_count)}, or start "
            "the founders with the same list of --peer options and without --bootstrap-expect"
        )
    return f"agreeing on the list of founders{_disagreement(me, companions)}"


def _list_without(me: Identity, founders: Sequence[Founder]) -> str:
    """Return what to do about a written list in which this node, at this address, is not."""
    names = ", ".join(each.node_id for each in founders)
    former = {each.node_id: each.address for each in founders}.get(me.node_id)
    if former is None:
        return (
            f"{names} found a cluster without {me.node_id}: add it when that cluster runs, or "
            "stop it; if one of them is lost for good, empty the directories of all of them"
        )
    return (
        f"{names} found a cluster with {me.node_id} at {former.removeprefix('tcp://')}, where it "
        "is no more: give it that address again, or empty the directories of all of them"
    )


def _disagreement(me: Identity, companions: Sequence[FoundingReply]) -> str:
    seen = {me.node_id, *(each.sender for each in companions)}
    others = [
        each.sender for each in companions if {founder.node_id for founder in each.founders} != seen
    ]
    return f", waiting for {', '.join(others)} to see all of them" if others else ""


def _strangers_text(strangers: Sequence[FoundingReply]) -> str:
    texts = []
    for each in strangers:
        at = nodes_text([each])
        if each.stage is FoundingStage.LISTED:
            names = ", ".join(founder.node_id for founder in each.founders)
            texts.append(f"{at} founds a cluster of {names}")
        elif each.expect:
            texts.append(f"{at} expects {each.expect}")
        else:
            texts.append(f"{at} waits to be added")
    return f"; not counted: {', '.join(texts)}" if texts else ""


def _count(count: int) -> str:
    return "one of them" if count == 1 else f"{count} of them"
