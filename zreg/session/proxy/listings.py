"""Listings of datums: a session asks all data nodes, and joins their answers into one."""

from collections.abc import Iterable
from typing import Final

from zreg.config import Limits
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import LimitError, NotReadyError
from zreg.session.upstream.data_links import DataLinks, RequestOwner
from zreg.wire.common_messages import Refused
from zreg.wire.data_messages import DatumsListed, DatumSummary, ListDatums

_SECONDS_MAX: Final = 2.0
_LISTINGS_MAX: Final = 100


class Listing(RequestOwner):
    """One client's listing, and the answers that have come so far."""

    __slots__ = ("datums", "is_complete", "peer", "request", "request_id", "waits_for")

    def __init__(self, peer: Peer, request: ListDatums, request_id: int) -> None:
        self.peer = peer
        self.request = request
        # The id under which all data nodes are asked.
        self.request_id = request_id
        self.datums: list[DatumSummary] = []
        self.is_complete = True
        # The data nodes that have not answered yet.
        self.waits_for: dict[str, None] = {}


class Listings:
    """The listings under way, bounded in number and time.

    Invariant: for each data node that a listing waits for, its request is pending in `DataLinks`.
    A listing ends with the last answer, the first refusal, or its deadline.
    """

    def __init__(self, links: DataLinks) -> None:
        self._links = links
        self._count = 0

    def ask(
        self, peer: Peer, request: ListDatums, now: float, *, outage_sentence: str
    ) -> list[Effect]:
        """Ask every data node; refuse if one is not connected, as its datums would be missing.

        `outage_sentence` says why meta is not reached; it is empty if meta is.
        """
        nodes = self._links.peers()
        missing = [node for node in nodes if not self._links.is_up(node)]
        if missing or not nodes:
            which = ", ".join(missing) or "any data node"
            return [_incomplete(peer, request, f"no connection to {which}", outage_sentence)]
        if self._count >= _LISTINGS_MAX:
            detail = f"this session has {_LISTINGS_MAX} listings under way: try again"
            return [_refused(peer, request, LimitError.code, detail)]
        requests = self._links.requests
        listing = Listing(peer, request, requests.next_id())
        listing.waits_for = dict.fromkeys(nodes)
        self._count += 1
        for node in nodes:
            requests.add(node, listing.request_id, listing, now=now, timeout_seconds=_SECONDS_MAX)
        passed_on = ListDatums(listing.request_id, request.pattern, request.after, request.limit)
        return [Send(Link.DATA, node, passed_on) for node in nodes]

    def on_datums_listed(self, node: str, listing: Listing, answer: DatumsListed) -> list[Effect]:
        """Take the answer of one data node; after the last one, answer the client."""
        self._links.requests.take(node, listing.request_id)
        del listing.waits_for[node]
        listing.datums.extend(answer.datums)
        listing.is_complete = listing.is_complete and answer.is_complete
        if listing.waits_for:
            return []
        self._count -= 1
        # A data node that stopped at its limit may have more datums before the last one of another.
        datums = sorted(listing.datums, key=lambda line: line.data_info_id)
        request = listing.request
        is_complete = listing.is_complete and len(datums) <= request.limit
        joined = DatumsListed(request.request_id, tuple(datums[: request.limit]), is_complete)
        return [Send(Link.CLIENTS, listing.peer, joined)]

    def on_refused(self, node: str, listing: Listing, refused: Refused) -> list[Effect]:
        """Pass on that one data node cannot say what it has: the listing ends."""
        self._end(listing)
        detail = f"{node}: {refused.detail}"[: Limits.detail_characters_max]
        return [_refused(listing.peer, listing.request, refused.code, detail)]

    def on_expired(self, listings: Iterable[Listing], *, outage_sentence: str) -> list[Effect]:
        """Refuse the listings whose deadline has come."""
        effects: list[Effect] = []
        for listing in listings:
            why = f"no answer from {', '.join(listing.waits_for)}"
            self._end(listing)
            effects.append(_incomplete(listing.peer, listing.request, why, outage_sentence))
        return effects

    def _end(self, listing: Listing) -> None:
        for node in listing.waits_for:
            self._links.requests.take(node, listing.request_id)
        self._count -= 1


def _incomplete(peer: Peer, request: ListDatums, why: str, outage_sentence: str) -> Effect:
    """Refuse a listing that would lack datums.

    While meta is away no other node takes the place of a data node: trying again would not help.
    """
    detail = f"{why}: a listing would not be complete, try again"
    if outage_sentence:
        detail = f"{why}, and {outage_sentence}"
    return _refused(peer, request, NotReadyError.code, detail[: Limits.detail_characters_max])


def _refused(peer: Peer, request: ListDatums, code: int, detail: str) -> Effect:
    return Send(Link.CLIENTS, peer, Refused(request.request_id, code, detail))
