"""The meta nodes that were announced, and what each of them answers at its address.

An announcement gives an address and nothing else: anyone on the LAN can send one, and any of them
may be lost. What a node is, it says itself, on the connection to its address.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from zreg.discovery.announcement import Announcement
from zreg.discovery.announcement_table import FORGET_SECONDS
from zreg.effects import Connect, Disconnect, Effect, Link, Send
from zreg.meta.peers.identity import Identity
from zreg.model import NODE_ID
from zreg.tcp_address import why_no_address
from zreg.wire.records.meta_messages import AskFounding, FoundingReply, FoundingStage

# More addresses would let forged announcements cost many connections.
ADDRESSES_MAX: Final = 16
# How often a node that gathers asks each candidate, and how often one of a running cluster does.
ASK_SECONDS: Final = 0.5
ASK_SELDOM_SECONDS: Final = 10.0
# Without an answer for so long, a candidate does not count any more.
ANSWER_SECONDS_MAX: Final = 1.5
_RECONNECT_SECONDS: Final = 1.0
# An address that is announced no more is forgotten after so many dials in vain.
_DIALS_MAX: Final = 5
# No node id begins so: the names of peers on the link stay apart.
_PREFIX: Final = "@"

NOT_REACHED: Final = "not reached"


class _Candidate(msgspec.Struct):
    """One address: its connection, and the last answer over it."""

    address: str
    # The id in the announcement, for people.
    node_id: str
    # Until when the last announcement of it is believed.
    announced_until: float = 0.0
    # When to dial or to ask next; None while it is being dialled.
    due_at: float | None = None
    is_up: bool = False
    failed_dials: int = 0
    # The request that is under way; an answer to an earlier one does not count.
    request_id: int = 0
    statement: FoundingReply | None = None
    answered_at: float = 0.0
    trouble: str = NOT_REACHED


def is_candidate(peer: object) -> bool:
    """Return whether a peer of the link between meta nodes is a candidate here."""
    return isinstance(peer, str) and peer.startswith(_PREFIX)


class Candidates:
    """The addresses that are asked, in the order in which they were heard of.

    Invariants: at most `ADDRESSES_MAX`; never the node's own address; a statement counts only while
    the connection over which it came stands, and until `ANSWER_SECONDS_MAX` after it.
    """

    def __init__(self, identity: Identity) -> None:
        self._me = identity
        self._by_address: dict[str, _Candidate] = {}
        self._last_request_id = 0
        # How long until a candidate that has answered is asked again.
        self.ask_seconds = ASK_SECONDS

    def __repr__(self) -> str:
        """Show the addresses."""
        return f"<Candidates {', '.join(self._by_address)}>"

    # --- queries -----------------------------------------------------------------------------

    def statements(self) -> list[FoundingReply]:
        """Return what the candidates say, in the order of their ids."""
        found = [each.statement for each in self._by_address.values() if each.statement is not None]
        return sorted(found, key=lambda said: (said.sender, said.address))

    def silent(self) -> list[tuple[str, str, str]]:
        """Return the announced candidates that say nothing: id, address, and why."""
        return [
            (each.node_id, each.address, each.trouble)
            for each in self._by_address.values()
            if each.statement is None and each.announced_until
        ]

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        return min(self._due_times(), default=None)

    def _due_times(self) -> Iterable[float]:
        for each in self._by_address.values():
            if each.due_at is not None:
                yield each.due_at
            if each.statement is not None and each.is_up:
                yield each.answered_at + self._answer_seconds_max

    @property
    def _answer_seconds_max(self) -> float:
        return self.ask_seconds + ANSWER_SECONDS_MAX

    # --- addresses ---------------------------------------------------------------------------

    def on_sighted(self, announcement: Announcement, now: float) -> list[Effect]:
        """Take the address in an announcement; a later one may give the node another name."""
        effects = self._add(announcement.raft_address, announcement.node_id)
        candidate = self._by_address.get(announcement.raft_address)
        if candidate is not None:
            candidate.node_id = announcement.node_id
            candidate.announced_until = now + FORGET_SECONDS
        return effects

    def on_asked(self, asker: AskFounding) -> list[Effect]:
        """Take the address of a node that asks: its announcements may be lost."""
        if why_no_address(asker.address) is not None:
            return []
        return self._add(asker.address, asker.sender)

    def _add(self, address: str, node_id: str) -> list[Effect]:
        if address == self._me.address or address in self._by_address:
            return []
        effects: list[Effect] = []
        if len(self._by_address) >= ADDRESSES_MAX:
            # The oldest address that does not answer makes room: it may be a forged one.
            silent = [each for each in self._by_address.values() if not each.is_up]
            if not silent:
                return []
            effects += self._forget(silent[0])
        self._by_address[address] = _Candidate(address, node_id)
        return [*effects, self._dial(self._by_address[address])]

    def _forget(self, candidate: _Candidate) -> list[Effect]:
        del self._by_address[candidate.address]
        return [Disconnect(Link.RAFT_ASK, _PREFIX + candidate.address)]

    def _dial(self, candidate: _Candidate) -> Effect:
        candidate.due_at = None
        return Connect(Link.RAFT_ASK, _PREFIX + candidate.address, candidate.address)

    # --- connections -------------------------------------------------------------------------

    def on_peer_up(self, peer: str, now: float) -> None:
        """Ask a candidate that was reached, with the next tick."""
        candidate = self._of(peer)
        if candidate is not None:
            candidate.is_up, candidate.due_at, candidate.failed_dials = True, now, 0
            candidate.trouble = "it has not answered"

    def on_peer_lost(self, peer: str, now: float) -> list[Effect]:
        """Dial a candidate again later, or forget it."""
        candidate = self._of(peer)
        if candidate is None:
            return []
        candidate.is_up, candidate.statement, candidate.trouble = False, None, NOT_REACHED
        candidate.failed_dials += 1
        candidate.due_at = now + _RECONNECT_SECONDS
        if candidate.failed_dials >= _DIALS_MAX and now >= candidate.announced_until:
            return self._forget(candidate)
        return [Disconnect(Link.RAFT_ASK, peer)]

    def on_refused(self, peer: str, detail: str) -> None:
        """Note that a node does not answer such questions, or is of another cluster."""
        candidate = self._of(peer)
        if candidate is not None:
            candidate.statement, candidate.trouble = None, detail

    def on_answer(self, peer: str, reply: FoundingReply, now: float) -> list[Effect]:
        """Take what a candidate says of itself, if it is at the address that it states.

        A node may be reached at several addresses: it counts at its own one only. A cluster counts
        wherever one of its nodes answers.
        """
        candidate = self._of(peer)
        if candidate is None or reply.request_id != candidate.request_id:
            return []
        candidate.answered_at, candidate.due_at = now, now + self.ask_seconds
        candidate.statement = None
        if (why := _why_unusable(reply)) is not None:
            candidate.trouble = f"it says what cannot be used: {why}"
        elif reply.address != candidate.address and reply.stage is not FoundingStage.FOUNDED:
            candidate.trouble = f"{reply.sender} says that it is at {reply.address}"
            return self._add(reply.address, reply.sender)
        else:
            candidate.statement = reply
        return []

    def tick(self, now: float, question: AskFounding) -> list[Effect]:
        """Dial and ask the candidates that are due, and give up those that do not answer."""
        effects: list[Effect] = []
        for each in list(self._by_address.values()):
            if each.statement is not None and now >= each.answered_at + self._answer_seconds_max:
                each.statement, each.trouble = None, "it does not answer"
            if each.due_at is None or now < each.due_at:
                continue
            effects.append(self._ask(each, now, question) if each.is_up else self._dial(each))
        return effects

    def _ask(self, candidate: _Candidate, now: float, question: AskFounding) -> Effect:
        self._last_request_id += 1
        candidate.request_id, candidate.due_at = self._last_request_id, now + self.ask_seconds
        question = msgspec.structs.replace(question, request_id=self._last_request_id)
        return Send(Link.RAFT_ASK, _PREFIX + candidate.address, question)

    def _of(self, peer: str) -> _Candidate | None:
        return self._by_address.get(peer.removeprefix(_PREFIX))


def _why_unusable(reply: FoundingReply) -> str | None:
    """Return why a name or an address in a reply could not stand in a journal."""
    named = [(reply.sender, reply.address), *((it.node_id, it.address) for it in reply.founders)]
    for node_id, address in named:
        why = NODE_ID.objection(node_id)
        if why is None and (address or reply.stage is not FoundingStage.FOUNDED):
            why = why_no_address(address)
        if why is not None:
            return why
    return None
