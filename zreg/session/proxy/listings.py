"""Questions that a session passes on to all data nodes, and the answers it joins."""

from collections.abc import Callable
from typing import Final

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, NotReadyError
from zreg.session.upstream.data_links import DataLinks
from zreg.wire.common_messages import Refused
from zreg.wire.data_messages import DatumsListed, DatumSummary, ListDatums

_SECONDS_MAX: Final = 2.0
_QUERIES_MAX: Final = 100


class Listing:
    """One listing under way."""

    __slots__ = ("datums", "ends_at", "is_complete", "peer", "request", "waits_for")

    def __init__(self, peer: Peer, request: ListDatums, ends_at: float) -> None:
        self.peer = peer
        self.request = request
        self.ends_at = ends_at
        self.datums: list[DatumSummary] = []
        self.is_complete = True
        self.waits_for: dict[str, None] = {}


class Listings:
    """All listings under way, bounded in number and time."""

    def __init__(self, links: DataLinks, trouble: Callable[[], str]) -> None:
        self._links = links
        self._trouble = trouble
        self._listings: dict[int, Listing] = {}

    def ask(self, peer: Peer, request: ListDatums, now: float) -> list[Effect]:
        """Ask every data node; a listing without one of them would be wrong, so it is refused."""
        nodes = self._links.peers()
        missing = [node for node in nodes if not self._links.is_up(node)]
        if missing or not nodes:
            which = ", ".join(missing) or "any data node"
            return [self._incomplete(peer, request, f"no connection to {which}")]
        if len(self._listings) >= _QUERIES_MAX:
            return [_refused(peer, request, LimitError.code, "too many listings at a time")]
        request_id = self._links.next_request_id()
        query = self._listings[request_id] = Listing(peer, request, now + _SECONDS_MAX)
        query.waits_for = dict.fromkeys(nodes)
        passed_on = ListDatums(request_id, request.pattern, request.after, request.limit)
        return [Send(Link.DATA, node, passed_on) for node in nodes]

    def listed(self, node: str, listed: DatumsListed) -> list[Effect]:
        """Take one node's answer; answer the client after the last one."""
        query = self._listings.get(listed.request_id)
        if query is None or node not in query.waits_for:
            return []
        del query.waits_for[node]
        query.datums.extend(listed.datums)
        query.is_complete = query.is_complete and listed.is_complete
        if query.waits_for:
            return []
        del self._listings[listed.request_id]
        # A node that stopped at its limit may have more before another one's last.
        datums = sorted(query.datums, key=lambda line: line.data_info_id)
        limit = query.request.limit
        answer = DatumsListed(
            query.request.request_id,
            tuple(datums[:limit]),
            query.is_complete and len(datums) <= limit,
        )
        return [Send(Link.CLIENTS, query.peer, answer)]

    def refused(self, node: str, refused: Refused) -> list[Effect]:
        """Pass on that one node cannot say what it has."""
        query = self._listings.get(refused.request_id)
        if query is None or node not in query.waits_for:
            return []
        del self._listings[refused.request_id]
        detail = f"{node}: {refused.detail}"[: Limits.detail_characters_max]
        return [_refused(query.peer, query.request, refused.code, detail)]

    def tick(self, now: float) -> list[Effect]:
        """Give up on what takes too long."""
        effects: list[Effect] = []
        for request_id, query in list(self._listings.items()):
            if now < query.ends_at:
                break
            del self._listings[request_id]
            which = ", ".join(query.waits_for)
            effects.append(self._incomplete(query.peer, query.request, f"no answer from {which}"))
        return effects

    def _incomplete(self, peer: Peer, request: ListDatums, why: str) -> Effect:
        """Refuse a listing; while meta is away nobody takes the place of who is missing."""
        detail = f"{why}: a listing would not be complete, try again"
        if trouble := self._trouble():
            detail = f"{why}, and {trouble}"
        detail = detail[: Limits.detail_characters_max]
        return _refused(peer, request, NotReadyError.code, detail)

    def next_tick_at(self) -> float | None:
        """When a listing has taken too long."""
        return next((query.ends_at for query in self._listings.values()), None)


def _refused(peer: Peer, request: ListDatums, code: int, detail: str) -> Effect:
    return Send(Link.CLIENTS, peer, Refused(request.request_id, code, detail))
