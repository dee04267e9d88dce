"""The sentence that says what happened at a step of a change."""

from collections.abc import Callable, Mapping
from typing import Final

from zreg.model import Version
from zreg.wire.records.common_messages import Hop, HopKind

_ID_CHARACTERS: Final = 8

_TEXTS: Final[Mapping[int, Callable[[Hop], str]]] = {
    HopKind.PUBLISHED: lambda hop: f"a publish arrived ({_publisher(hop)})",
    HopKind.WITHDRAWN: lambda hop: f"an unpublish arrived ({_publisher(hop)})",
    HopKind.FORWARDED: lambda hop: f"sent to {_node(hop)}",
    HopKind.REFUSED: lambda hop: f"{_node(hop)} refused it with code {hop.count}",
    HopKind.ANSWERED: lambda hop: f"{_node(hop)} has accepted it: the client is told",
    HopKind.MERGED: lambda hop: f"merged ({_publisher(hop)})",
    HopKind.HINTED: lambda hop: f"version {hop.version}: the hint is sent",
    HopKind.COMMITTED: lambda hop: f"version {hop.version}: subscribers see no difference",
    HopKind.REPLICATED: lambda hop: f"{_node(hop)} has its copy",
    HopKind.ACCEPTED: lambda hop: f"accepted with {_count(hop.count, 'copy', 'copies')}",
    HopKind.HEARD: lambda _: "the hint arrived, with the change",
    HopKind.BEHIND: lambda _: "the hint arrived: the change has to be fetched",
    HopKind.MISSED: lambda _: "a comparison showed that the hint was lost",
    HopKind.FETCHED: lambda _: "the change was fetched",
    HopKind.PUSHED: lambda hop: f"pushed to {_count(hop.count, 'subscriber', 'subscribers')}",
    HopKind.PUSHED_LAST: lambda hop: f"pushed to the last of {hop.count} subscribers",
    HopKind.CONFIRMED: lambda hop: (
        f"{hop.count} of {hop.total} subscribers have acknowledged it"
        if hop.count < hop.total
        else f"acknowledged by {_all(hop.total)}"
    ),
}


def step_text(hop: Hop, version: Version | None) -> str:
    """Return what happened to a change of this version; its hop may have a later one."""
    text = _TEXTS[hop.kind](hop)
    if version is not None and hop.version > version:
        text += f", as part of version {hop.version}"
    return text


def _publisher(hop: Hop) -> str:
    short = hop.publisher_id.hex()[:_ID_CHARACTERS]
    return f"publisher {short}, version {hop.publisher_version}"


def _node(hop: Hop) -> str:
    """Return the node of a peer, which is named `node_id@epoch`."""
    return hop.peer.rpartition("@")[0] or hop.peer


def _count(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"


def _all(count: int) -> str:
    return "its subscriber" if count == 1 else f"the last of {count} subscribers"
