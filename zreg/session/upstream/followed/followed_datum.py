"""One datum that a session follows: its copy, what changed last, and the request under way."""

from typing import TYPE_CHECKING

from zreg.model import ZERO, DataInfoId, Publisher
from zreg.primitives.mirror import PUBLISHERS, Difference, Mirror
from zreg.primitives.op_log import OpLog
from zreg.primitives.ring import bucket_of
from zreg.session.upstream.data_links import RequestOwner

if TYPE_CHECKING:
    from zreg.primitives.reports.hop_rings import PushRound

Step = Difference[bytes, Publisher]


class FollowedDatum(RequestOwner):
    """A datum that at least one client of this session subscribes to."""

    __slots__ = (
        "asked",
        "bucket",
        "claimed",
        "first_asked_at",
        "log",
        "mirror",
        "name",
        "parts",
        "peer",
        "push_round",
        "request_id",
        "retry_at",
        "retry_count",
    )

    def __init__(self, name: DataInfoId, peer: str, now: float) -> None:
        self.name = name
        self.bucket = bucket_of(name)
        self.mirror: Mirror[bytes, Publisher] = Mirror(PUBLISHERS)
        # The visible changes, step by step, from which subscribers get deltas.
        self.log: OpLog[Step] = OpLog()
        # The highest version that a client claims to have seen; only the primary can judge that.
        self.claimed = ZERO
        # The claim that was named in the request under way, or in the last one.
        self.asked = ZERO
        # The data node that is the primary.
        self.peer = peer
        # The id of the request under way there; 0 if there is none.
        self.request_id = 0
        # What has come of a snapshot in parts.
        self.parts: list[Publisher] = []
        self.retry_at: float | None = None
        # How often in succession it had to be asked again.
        self.retry_count = 0
        self.first_asked_at = now
        # The pushes to the last version that was pushed.
        self.push_round: PushRound | None = None

    @property
    def wants_fetch(self) -> bool:
        """Whether the primary has something that this copy lacks."""
        return not self.mirror.is_known or self.mirror.is_behind

    @property
    def is_incomplete(self) -> bool:
        """Whether there is no copy, or one that may lack publishers."""
        return not self.mirror.is_known or self.mirror.is_unsure


class IncompleteDatums:
    """The followed datums that are incomplete, by data node: a beat needs to look at no others.

    Invariant: a followed datum is in it, under its own `peer`, exactly while `is_incomplete`.
    """

    def __init__(self) -> None:
        self._by_peer: dict[str, dict[DataInfoId, FollowedDatum]] = {}

    def note(self, followed: FollowedDatum) -> None:
        """Note that a datum is followed, has another primary, or has taken a snapshot."""
        if followed.is_incomplete:
            self._by_peer.setdefault(followed.peer, {})[followed.name] = followed
        else:
            self.drop(followed)

    def drop(self, followed: FollowedDatum) -> None:
        """Forget a datum: it is complete or followed no more, or its primary is about to change."""
        datums = self._by_peer.get(followed.peer)
        if datums is not None and datums.pop(followed.name, None) is not None and not datums:
            del self._by_peer[followed.peer]

    def at(self, peer: str) -> list[FollowedDatum]:
        """Return the incomplete datums of a data node."""
        return list(self._by_peer.get(peer, {}).values())
