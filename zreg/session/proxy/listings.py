"""Listings of datums: a session asks all data nodes, and joins their answers into one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from zreg.effects import Effect, Link, Send
from zreg.errors import LimitError, NotReadyError
from zreg.session.proxy.askers import Asker, answer_to
from zreg.session.upstream.data_links import DataLinks, RequestOwner
from zreg.wire.parts import cut_detail, datums_listed
from zreg.wire.records.common_messages import Refused
from zreg.wire.records.data_messages import DatumsListed, DatumSummary, ListDatums

if TYPE_CHECKING:
    from zreg.model import DatumName

_SECONDS_MAX: Final = 2.0
_LISTINGS_MAX: Final = 100


class Listing(RequestOwner):
    """The listing of a client or page, and the answers that have come so far."""

    __slots__ = (
        "_datums",
        "_is_unsure",
        "_ring_epoch",
        "_until",
        "asker",
        "request",
        "request_id",
        "waits_for",
    )

    def __init__(
        self, asker: Asker, request: ListDatums, request_id: int, *, ring_epoch: int
    ) -> None:
        self.asker = asker
        self.request = request
        # The id under which all data nodes are asked.
        self.request_id = request_id
        # The data nodes that have not answered yet.
        self.waits_for: dict[str, None] = {}
        self._datums: dict[DatumName, DatumSummary] = {}
        # The ring by which the data nodes were asked: each bucket has one primary among them.
        self._ring_epoch = ring_epoch
        self._is_unsure = False
        # Up to which name every answer is complete; None if all are complete to the end.
        self._until: str | None = None

    def take(self, answer: DatumsListed) -> None:
        """Add the answer of one data node.

        A data node with another ring may list what another one lists too, or leave out what no
        other one lists. One of an earlier version tells no ring.
        """
        for line in answer.datums:
            present = self._datums.get(line.data_info_id)
            if present is None or present.version < line.version:
                self._datums[line.data_info_id] = line
        self._is_unsure |= answer.is_unsure or answer.ring_epoch not in (0, self._ring_epoch)
        if not answer.is_complete:
            last = answer.datums[-1].data_info_id if answer.datums else self.request.after
            self._until = last if self._until is None else min(self._until, last)

    def joined(self) -> DatumsListed:
        """Return the answer, in the order of names.

        A data node whose answer was cut has more datums after its last name. What other nodes have
        there is left out: the client asks again after the last name that it gets.
        """
        until, request = self._until, self.request
        names = sorted(name for name in self._datums if until is None or name <= until)
        is_complete = until is None and len(names) <= request.limit
        page = [self._datums[name] for name in names[: request.limit]]
        listed = datums_listed(request.request_id, page, is_complete=is_complete)
        return replace(listed, is_unsure=self._is_unsure)


class Listings:
    """The listings under way, bounded in number and time.

    Invariant: for each data node that a listing waits for, its request is pending in `DataLinks`.
    A listing ends with the last answer, the first refusal, or its deadline.
    """

    def __init__(self, links: DataLinks) -> None:
        self._links = links
        self._count = 0

    def ask(
        self, asker: Asker, request: ListDatums, now: float, *, outage_sentence: str
    ) -> list[Effect]:
        """Ask every data node; refuse if one is not connected, as its datums would be missing.

        `outage_sentence` says why meta is not reached; it is empty if meta is.
        """
        nodes = self._links.peers()
        missing = [node for node in nodes if not self._links.is_up(node)]
        if missing or not nodes:
            which = ", ".join(missing) or "any data node"
            return [_incomplete(asker, request, f"no connection to {which}", outage_sentence)]
        if self._count >= _LISTINGS_MAX:
            detail = f"this session has {_LISTINGS_MAX} listings under way: try again"
            return [_refused(asker, request, LimitError.code, detail)]
        requests = self._links.requests
        ring_epoch = self._links.ring_epoch
        listing = Listing(asker, request, requests.next_id(), ring_epoch=ring_epoch)
        listing.waits_for = dict.fromkeys(nodes)
        self._count += 1
        for node in nodes:
            requests.add(node, listing.request_id, listing, now=now, timeout_seconds=_SECONDS_MAX)
        passed_on = ListDatums(listing.request_id, request.pattern, request.after, request.limit)
        return [Send(Link.DATA, node, passed_on) for node in nodes]

    def on_datums_listed(self, node: str, listing: Listing, answer: DatumsListed) -> list[Effect]:
        """Take the answer of one data node; after the last one, give the answer."""
        self._links.requests.take(node, listing.request_id)
        del listing.waits_for[node]
        listing.take(answer)
        if listing.waits_for:
            return []
        self._count -= 1
        return [answer_to(listing.asker, listing.joined())]

    def on_refused(self, node: str, listing: Listing, refused: Refused) -> list[Effect]:
        """Pass on that one data node cannot say what it has: the listing ends."""
        self._end(listing)
        detail = cut_detail(f"{node}: {refused.detail}")
        return [_refused(listing.asker, listing.request, refused.code, detail)]

    def on_expired(self, listings: Iterable[Listing], *, outage_sentence: str) -> list[Effect]:
        """Refuse the listings whose deadline has come."""
        effects: list[Effect] = []
        for listing in listings:
            why = f"no answer from {', '.join(listing.waits_for)}"
            self._end(listing)
            effects.append(_incomplete(listing.asker, listing.request, why, outage_sentence))
        return effects

    def _end(self, listing: Listing) -> None:
        for node in listing.waits_for:
            self._links.requests.take(node, listing.request_id)
        self._count -= 1


def _incomplete(asker: Asker, request: ListDatums, why: str, outage_sentence: str) -> Effect:
    """Refuse a listing that would lack datums.

    While meta is away no other node takes the place of a data node: trying again would not help.
    """
    detail = f"{why}: a listing would not be complete, try again"
    if outage_sentence:
        detail = f"{why}, and {outage_sentence}"
    return _refused(asker, request, NotReadyError.code, cut_detail(detail))


def _refused(asker: Asker, request: ListDatums, code: int, detail: str) -> Effect:
    return answer_to(asker, Refused(request.request_id, code, detail))
