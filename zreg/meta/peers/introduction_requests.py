"""The introductions of this node to its peers that wait for their answers."""

from typing import Final

from zreg.effects import Effect, Link, Send
from zreg.meta.peers.introductions import Introductions
from zreg.wire.records.meta_messages import IntroduceMeta

# How long until a peer that did not answer an introduction, or declined it, is asked again.
_REPEAT_SECONDS: Final = 1.0


class IntroductionRequests:
    """The introductions that wait, by peer, and when each is repeated.

    Invariants:
    - At most one introduction to a peer waits: the next one replaces it, and has a higher id.
    - An answer counts only while the introduction to its peer waits, and only to an id that this
      process has used. So an answer to an earlier process at this address never counts.
    - An introduction waits, and is repeated, until `end` is called.
    """

    def __init__(self, introductions: Introductions) -> None:
        self._introductions = introductions
        self._repeat_at: dict[str, float] = {}
        self._last_request_id = 0

    def __repr__(self) -> str:
        """Show which peers have not answered."""
        return f"<IntroductionRequests to {', '.join(self._repeat_at)}>"

    def send(self, peer: str, now: float) -> Effect:
        """Introduce this node to a peer, for the first time or again."""
        self._repeat_at[peer] = now + _REPEAT_SECONDS
        self._last_request_id += 1
        about = self._introductions.about_me(peer)
        return Send(Link.RAFT_ASK, peer, IntroduceMeta(self._last_request_id, *about))

    def awaits(self, peer: str, request_id: int) -> bool:
        """Return whether the answer of a peer counts."""
        return peer in self._repeat_at and request_id <= self._last_request_id

    def end(self, peer: str) -> None:
        """Stop waiting for a peer: it has accepted this node, or its connection ended."""
        self._repeat_at.pop(peer, None)

    def tick(self, now: float) -> list[Effect]:
        """Repeat the introductions that have waited long enough."""
        due = [peer for peer, repeat_at in self._repeat_at.items() if now >= repeat_at]
        return [self.send(peer, now) for peer in due]

    def next_tick_at(self) -> float | None:
        """When `tick` is due."""
        return min(self._repeat_at.values(), default=None)
