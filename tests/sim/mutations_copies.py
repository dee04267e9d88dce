"""Rules of copies, each with what takes it out of the production code."""

from mutations import Patch

from zreg.data.copies.copy_answers import CopyAnswers
from zreg.data.copies.handover import Handover
from zreg.data.copies.repairs import Repairs
from zreg.data.replication.replica_stream import ReplicaStream
from zreg.data.replication.replication import Replication
from zreg.data.store.datum import Datum
from zreg.data.store.datum_buckets import DatumBuckets
from zreg.session.upstream.data_links import DataLinks

_check = DatumBuckets._check


def initial_counted_as_replica() -> list[Patch]:
    """A node that joins receives and holds, and counts as no copy."""

    return [(Replication, "counts", lambda self, peer: True)]


def a_node_reports_ready_at_once() -> list[Patch]:
    """A node that joins works only when it holds all that it will own."""
    return [(Repairs, "is_complete", property(lambda self: True))]


def a_node_leaves_at_once() -> list[Patch]:
    """A node that leaves hands over first."""
    return [(Handover, "_may_end", lambda self, now: True)]


def no_copies_are_made() -> list[Patch]:
    """A primary sends its replicas each change."""

    def note(self: ReplicaStream, *_change: object) -> None:
        del self

    return [
        (ReplicaStream, "note", note),
        (ReplicaStream, "compare", lambda self: None),
    ]


def an_unsure_copy_keeps_its_version() -> list[Patch]:
    """A copy that missed a change gets a version of its own when its node becomes primary."""

    def check(self: DatumBuckets, datum: Datum, *, is_primary: bool) -> int:
        datum.is_unsure = False
        return _check(self, datum, is_primary=is_primary)

    return [(DatumBuckets, "_check", check)]


def a_primary_takes_nothing_from_copies() -> list[Patch]:
    """A primary that lacks something takes it from its copies."""
    return [(CopyAnswers, "on_offer_copy", lambda self, peer, offer, epoch, now: [])]


def registrations_are_sent_again_to_copies() -> list[Patch]:
    """A new primary that has a copy is not sent the registrations again."""
    return [(DataLinks, "had_copy", lambda self, peer, name, *, copies: False)]
