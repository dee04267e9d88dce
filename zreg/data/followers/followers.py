"""Answers to followers: changes since a version, snapshots, comparisons of versions, listings."""

from collections.abc import Sequence

from msgspec.structs import replace

from zreg.data.followers import follower_answers
from zreg.data.followers.hints import Hints
from zreg.data.placement import Placement
from zreg.data.refusals import Refusals
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.effects import Effect, Link, Peer, Send
from zreg.errors import NotReadyError
from zreg.membership.cluster_member import ClusterMember
from zreg.primitives.ring import bucket_of
from zreg.wire.records.data_messages import CompareVersions, FetchChanges, ListDatums, Snapshot

# Before meta admits this node, an empty answer would be wrong: it says "unknown", not "none".
_NOT_ADMITTED_DETAIL = (
    "meta has not admitted this data node yet, so it holds no datums: ask again later"
)


class Followers:
    """Answers followers from the store; commits first what the answer depends on."""

    def __init__(
        self,
        store: DatumStore,
        hints: Hints,
        placement: Placement,
        cluster_member: ClusterMember,
        refusals: Refusals,
    ) -> None:
        self._store = store
        self._hints = hints
        self._placement = placement
        self._cluster_member = cluster_member
        self._refusals = refusals

    def on_fetch_changes(self, peer: Peer, fetch: FetchChanges, now: float) -> Sequence[Effect]:
        """Answer with the changes since the follower's version, or with a snapshot."""
        name, epoch = fetch.data_info_id, self._refusals.epoch
        if not self._placement.is_primary(name):
            return [self._refusals.not_primary(peer, fetch.request_id)]
        seen_epoch = max(fetch.version, fetch.seen_version).epoch
        if seen_epoch > epoch:
            detail = "this data node has not seen the epoch of that version yet: ask again"
            refused = self._refusals.refuse(peer, fetch.request_id, NotReadyError, detail)
            return [*self._cluster_member.see_epoch(seen_epoch), refused]
        datum = self._store.find(name)
        if datum is None:
            return [Send(Link.REQUESTS, peer, self._absent(fetch))]
        effects = self._hints.commit([datum] if datum.is_dirty else [], epoch, now)
        if self._must_restamp(datum, fetch):
            effects.append(self._hints.restamp(datum, epoch, now))
        sequence = self._hints.sequence(datum.bucket)
        if not fetch.is_unsure and fetch.seen_version <= datum.version:
            changes = follower_answers.logged_changes(self._store, datum, fetch, sequence)
            if changes is not None:
                return [*effects, Send(Link.REQUESTS, peer, changes)]
        is_unreconciled = self._placement.is_unreconciled(name)
        parts = follower_answers.snapshot_parts(
            datum, fetch, sequence, is_unreconciled=is_unreconciled
        )
        return effects + [Send(Link.REQUESTS, peer, part) for part in parts]

    def _must_restamp(self, datum: Datum, fetch: FetchChanges) -> bool:
        """Return whether the answer needs a new version, since the follower's content may differ.

        It does if the follower saw a version above the datum's. An unsure copy needs one too: at
        the datum's version its content may differ, and a hint that crosses the answer may bring it
        there. All followers share the new version that the first of them got, as it is that of an
        empty change: a hint at one does not move an unsure copy.
        """
        if max(fetch.version, fetch.seen_version) > datum.version:
            return True
        if not fetch.is_unsure or self._placement.is_unreconciled(datum.name):
            return False
        is_shared = fetch.version < datum.version == datum.restamped_version
        return not is_shared

    def _absent(self, fetch: FetchChanges) -> Snapshot:
        """Return the answer that there is no such datum, at a version above all that was seen."""
        name, epoch = fetch.data_info_id, self._refusals.epoch
        version = self._store.present_version(epoch)
        if fetch.is_unsure or version <= max(fetch.version, fetch.seen_version):
            version = self._store.next_version(epoch)
        sequence = self._hints.sequence(bucket_of(name))
        is_unreconciled = self._placement.is_unreconciled(name)
        return follower_answers.absent(fetch, version, sequence, is_unreconciled=is_unreconciled)

    def on_compare_versions(self, peer: Peer, compare: CompareVersions) -> Sequence[Effect]:
        """Answer which of the follower's versions differ from the store's."""
        if not self._placement.is_member:
            return [self._not_admitted(peer, compare.request_id)]
        present = self._store.present_version(self._refusals.epoch)
        sequence = self._hints.sequence(compare.bucket)
        records = follower_answers.compared_versions(self._store, compare, present, sequence)
        return [Send(Link.REQUESTS, peer, versions) for versions in records]

    def on_list_datums(self, peer: Peer, request: ListDatums) -> Sequence[Effect]:
        """Answer with the next page of names."""
        if not self._placement.is_member:
            return [self._not_admitted(peer, request.request_id)]
        listed = replace(
            follower_answers.listed_datums(self._store, request),
            is_unsure=self._placement.may_lack_datums,
            ring_epoch=max(0, self._placement.ring_epoch),
        )
        return [Send(Link.REQUESTS, peer, listed)]

    def _not_admitted(self, peer: Peer, request_id: int) -> Effect:
        return self._refusals.refuse(peer, request_id, NotReadyError, _NOT_ADMITTED_DETAIL)
