"""Every record that can grow, as its sender cuts it: its receiver takes it, whatever was asked for.

The fields that can grow are found by their annotations, so a new one needs a row here.
"""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import inspect
from msgspec.structs import replace
from session_fakes import ALICE, D1, S1, Session, make_membership

from zreg.config import Limits
from zreg.data.copies.repairs import NAMES_MAX
from zreg.effects import Send
from zreg.meta.members.memory.client_counts import ClientCounts
from zreg.meta.state.membership_history import ITEMS_MAX
from zreg.model import (
    Cause,
    Change,
    DataInfoId,
    Incarnation,
    Member,
    Membership,
    Publisher,
    Removal,
    RingParameters,
    Role,
    Scope,
    Status,
    Version,
    data_info_id,
)
from zreg.primitives.reports.event_ring import EventRing
from zreg.primitives.reports.hop_rings import HopRings, PushRound
from zreg.primitives.reports.host_search import HostSearch
from zreg.primitives.reports.own_answers import OwnAnswers
from zreg.raft.config import RaftConfig
from zreg.session.upstream.registered.reconciliation import comparisons
from zreg.session.upstream.registered.registration import Registration, request_of
from zreg.wire.codec import decode_frame, encode_frames
from zreg.wire.messages import TAGS, Message
from zreg.wire.parts import (
    accepted_records,
    comparison_records,
    copy_parts,
    datum_digests,
    datums_listed,
    first_instances,
    first_subscriptions,
    fit_one_record,
    fits_inline,
    in_parts,
    member_size,
    publishers_compared,
    replicate_records,
    versions_records,
)
from zreg.wire.records.client_messages import Push
from zreg.wire.records.common_messages import (
    HOST_LINES_MAX,
    ClientsFound,
    FetchEvents,
    FetchHops,
    FetchStatistics,
    HopKind,
    HostInstance,
    HostSubscription,
    InstancesFound,
)
from zreg.wire.records.data_messages import Beat, Changed, Changes, DatumSummary, Snapshot
from zreg.wire.records.membership_messages import (
    GONE_MAX,
    GoneNode,
    MembershipChanges,
    MembershipReply,
    Renew,
    Renewed,
    SessionLoad,
)
from zreg.wire.records.meta_messages import (
    FOUNDERS_MAX,
    GONE_NODES_MAX,
    AskFounding,
    CopyProgress,
    Founder,
    FoundingReply,
    FoundingStage,
    MetaNodesReply,
    MetaNodeState,
    MetaNodeStatus,
)
from zreg.wire.records.raft_messages import ENTRY_OVERHEAD_BYTES, AppendEntries, Entry, EntryKind
from zreg.wire.records.replication_messages import (
    BucketDigests,
    BucketsCompared,
    DatumCopy,
    FetchCopies,
    OfferCopy,
)
from zreg.wire.records.settings_messages import Setting, SettingsReply

MOST = 2**63 - 1
LAST = Version(MOST, MOST)
WIDE = "\U0001f98a"
LABEL, TEXT = WIDE * Limits.label_characters_max, WIDE * Limits.detail_characters_max
ADDRESS = WIDE * Limits.address_characters_max
NODE = Incarnation(MOST, LABEL)
GONE = GoneNode(NODE, Role.DATA, ADDRESS, LABEL, MOST, MOST, MOST, MOST, MOST, is_at_least=True)


class Load:
    """How much there is to send: so many items, with names and bodies of these sizes."""

    def __init__(self, count: int, letter: str, size: int) -> None:
        self.count = count
        self.letter = letter
        self.size = size

    def __repr__(self) -> str:
        return f"Load({self.count}, {self.letter!r}, {self.size})"

    @property
    def name(self) -> DataInfoId:
        part = self.letter * self.size
        return DataInfoId("#@#".join([part] * 3))

    def names(self) -> list[DataInfoId]:
        return [self.name] * self.count

    def ids(self) -> list[bytes]:
        return [number.to_bytes(16) for number in range(self.count)]

    def publishers(self) -> list[Publisher]:
        label = self.letter * min(self.size, Limits.label_characters_max)
        session = Incarnation(MOST, label)
        body = bytes(self.size * 250)
        return [
            Publisher(key, MOST, key, session, label, label, label, body)
            for key in self.ids()[:2000]
        ]

    def changes(self) -> list[Change]:
        """Return a change of every size up to all publishers and as many removals."""
        publishers = self.publishers()
        removals = [Removal(p.publisher_id, MOST, Cause.EVICTED, p.session) for p in publishers]
        sizes = [0, 1, 10, 100, len(publishers)]
        return [
            Change(LAST, LAST, tuple(publishers[:size]), tuple(removals[:size])) for size in sizes
        ]


loads = st.builds(
    Load,
    st.integers(0, 12_000),
    st.sampled_from(["a", "\u00e9", WIDE]),
    st.integers(1, Limits.id_part_characters_max),
)


# --- what each sender makes -----------------------------------------------------------------------


def accepted(load: Load) -> Iterator[Message]:
    yield from accepted_records([MOST] * load.count)


def pushes(load: Load) -> Iterator[Message]:
    for part in in_parts(load.publishers()):
        yield Push(load.name, Scope.GLOBAL, None, LAST, part, (), MOST)
    for change in load.changes():
        if fit_one_record([change]):
            yield Push(load.name, Scope.GLOBAL, LAST, LAST, change.publishers, change.removals)


def snapshots(load: Load) -> Iterator[Message]:
    for part in in_parts(load.publishers()):
        yield Snapshot(MOST, load.name, LAST, part, MOST, MOST)


def changes(load: Load) -> Iterator[Message]:
    some = load.changes()
    for group in ([], some[:3], some, some[:1] * load.count):
        if fit_one_record(group):
            yield Changes(MOST, load.name, tuple(group), MOST)


def hints(load: Load) -> Iterator[Message]:
    for change in load.changes():
        if fits_inline(change):
            yield Changed(load.name, LAST, LAST, MOST, change.publishers, change.removals)


def compared_versions(load: Load) -> Iterator[Message]:
    versions = [(name, LAST) for name in load.names()]
    yield from comparison_records(Limits.bucket_count - 1, versions)
    yield from versions_records(MOST, Limits.bucket_count - 1, versions, MOST)


def compared_publishers(load: Load) -> Iterator[Message]:
    ids = load.ids()
    # One byte for all ids, and a byte for each: the ranges are cut between bytes.
    for first in (lambda number: 0, lambda number: number % 256):
        publishers = [
            Publisher(bytes([first(number)]) + key[1:], MOST, key, S1, "", "", "", b"")
            for number, key in enumerate(ids)
        ]
        by_byte: list[list[Registration]] = [[] for _ in range(256)]
    for publisher in publishers:
        by_byte[publisher.publisher_id[0]].append(Registration(load.name, publisher))
    yield from comparisons(by_byte)
    strays = [(load.name, key, MOST) for key in ids]
    yield publishers_compared(ids, strays)


def listings(load: Load) -> Iterator[Message]:
    lines = [DatumSummary(name, LAST, MOST) for name in load.names()]
    yield datums_listed(MOST, lines, is_complete=True)


def replicated_changes(load: Load) -> Iterator[Message]:
    some = load.changes()
    for group in (some, some[:1] * load.count, some[1:2] * load.count):
        named = [(load.name, change, (9.5,) * change.tombstone_count) for change in group]
        yield from replicate_records(MOST, MOST, named)


def bucket_digests(load: Load) -> Iterator[Message]:
    """A node has so many buckets at most, however many datums are in them."""
    del load
    buckets = tuple(range(Limits.bucket_count))
    yield BucketDigests(MOST, tuple((bucket, MOST, MOST) for bucket in buckets))
    yield BucketsCompared(MOST, buckets, buckets)


def datums_of_a_bucket(load: Load) -> Iterator[Message]:
    yield datum_digests(MOST, [(name, MOST, MOST) for name in load.names()], is_complete=True)


def fetched_copies(load: Load) -> Iterator[Message]:
    """A replica asks for a bounded number of datums at once."""
    yield FetchCopies(MOST, tuple(load.names()[:NAMES_MAX]))


def copies(load: Load) -> Iterator[Message]:
    publishers = load.publishers()
    tombstones = [
        (Removal(key, MOST, Cause.NOT_REPLAYED, NODE), float(Limits.seconds_max))
        for key in load.ids()
    ]
    for part in copy_parts(publishers, tombstones):
        yield DatumCopy(MOST, load.name, LAST, LAST, *part, MOST)
        yield OfferCopy(load.name, *part)


def withdrawals(load: Load) -> Iterator[Message]:
    for publisher in load.publishers()[:1]:
        registration = Registration(load.name, publisher)
        registration.request_id = MOST
        registration.removal = Removal(publisher.publisher_id, MOST, Cause.BYE, publisher.session)
        yield request_of(registration)


def welcomes(load: Load) -> Iterator[Message]:
    """The addresses of at most 64 sessions are sent."""
    session = Session()
    present = make_membership(D1)
    others = tuple(
        replace(present.members[0], node_id=f"s{number}", address=load.letter * load.size)
        for number in range(2, min(load.count, 200))
    )
    session.join(replace(present, members=present.members + others))
    yield from (e.message for e in session.greet(ALICE) if isinstance(e, Send))


# --- what is bounded by what a node holds ---------------------------------------------------------


def beats(load: Load) -> Iterator[Message]:
    del load
    yield Beat(NODE, (MOST,) * Limits.bucket_count, (NODE,) * Limits.members_max)


def largest_member() -> Member:
    """Return the largest member that meta admits."""
    member = Member(LABEL, Role.SESSION, MOST, Status.DEPARTED, "", "", "", "", 1000, bytes(16))
    room = Limits.member_bytes_max - member_size(member)
    member = replace(member, address="x" * room)
    assert member_size(member) == Limits.member_bytes_max
    return member


def memberships(load: Load) -> Iterator[Message]:
    del load
    ring = RingParameters(LABEL, Limits.virtual_node_count_max, Limits.replica_count_max)
    members = (largest_member(),) * Limits.members_max
    membership = Membership(bytes(16), MOST, MOST, ring, members)
    yield MembershipReply(MOST, membership, NODE, TEXT)


def membership_changes(load: Load) -> Iterator[Message]:
    """The history holds a bounded number of members and removals together."""
    upserts = (largest_member(),) * min(load.count, ITEMS_MAX)
    removals = (NODE,) * (ITEMS_MAX - len(upserts))
    yield MembershipChanges(MOST, bytes(16), MOST, MOST, MOST, upserts, removals, 2**32 - 1)


def settings_replies(load: Load) -> Iterator[Message]:
    del load
    name = WIDE * Limits.id_part_characters_max
    setting = Setting(name, WIDE * Limits.setting_characters_max, MOST)
    yield SettingsReply(MOST, (setting,) * Limits.settings_per_record_max)


def event_replies(load: Load) -> Iterator[Message]:
    ring = EventRing(LABEL, bytes(16))
    text = load.letter * 2000
    for _ in range(min(load.count, 300)):
        for kind in ("one", "two", "three"):
            ring.note(40, kind, {"node_id": text, "detail": text}, 0.0)
    yield ring.answer(FetchEvents(MOST), 1e6)


def statistics_replies(load: Load) -> Iterator[Message]:
    """A node sends a bounded part of its statistics, however many its core has."""
    names = {f"{number:063}{WIDE}": 2.0**62 for number in range(load.count)}
    own = OwnAnswers(EventRing(LABEL, bytes(16)), lambda: names, HopRings(), HostSearch())
    yield own.answer(FetchStatistics(MOST), 1e6)


def hop_replies(load: Load) -> Iterator[Message]:
    """A node keeps a bounded number of hops of an id, and adds what was acknowledged of them."""
    replicas = [str(Incarnation(MOST - number, LABEL)) for number in range(min(load.count, 32))]
    hops, name = HopRings(lambda _name: replicas), data_info_id("pay")
    for number in range(min(load.count, 100)):
        hop = (HopKind.HINTED, 0.0, bytes(16), MOST, Version(MOST, MOST), "", number)
        hops.by_id[name].append(hop)
        pushes = PushRound(Version(MOST, MOST), 0.0, 1.0, MOST, 2.0, MOST)
        hops.by_id[name].append((HopKind.PUSHED, 0.0, b"", 0, Version(MOST, MOST), "", pushes))
    for replica in replicas:
        hops.acks[replica].append((MOST, 0.0))
    yield hops.answer(FetchHops(MOST, name), LABEL, 1e6)


def found_instances(load: Load) -> Iterator[Message]:
    found = [HostInstance(load.name, publisher) for publisher in load.publishers()]
    yield InstancesFound(MOST, LABEL, first_instances(found, HOST_LINES_MAX), load.name, bytes(16))


def found_clients(load: Load) -> Iterator[Message]:
    scopes = tuple(Scope)
    found = [
        HostSubscription(bytes(16), LABEL, LABEL, LABEL, True, MOST, name, scopes)  # noqa: FBT003
        for name in load.names()
    ]
    yield ClientsFound(MOST, LABEL, first_subscriptions(found, HOST_LINES_MAX))


def meta_nodes(load: Load) -> Iterator[Message]:
    del load
    status = MetaNodeStatus(LABEL, ADDRESS, MetaNodeState.STUCK, MOST, MOST, TEXT)
    progress = CopyProgress(NODE, MOST, MOST)
    # The membership bounds both together.
    for data_count in (0, Limits.members_max // 2, Limits.members_max):
        loads = (SessionLoad(NODE, MOST),) * (Limits.members_max - data_count)
        copying = (progress,) * data_count
        told = (copying, loads, (GONE,) * GONE_NODES_MAX, (NODE,) * GONE_NODES_MAX)
        yield MetaNodesReply(MOST, MOST, MOST, MOST, (status,) * 64, MOST, *told)


def founding_statements(load: Load) -> Iterator[Message]:
    """A meta node names as many founders as a cluster may begin with."""
    del load
    founders = (Founder(LABEL, ADDRESS),) * FOUNDERS_MAX
    for kind in (AskFounding, FoundingReply):
        stage = FoundingStage.LISTED
        yield kind(MOST, LABEL, ADDRESS, LABEL, stage, MOST, founders, LABEL, bytes(16))


def renewals(load: Load) -> Iterator[Message]:
    """Meta names a few sessions, however many there are."""
    counts = ClientCounts(1.0)
    for number in range(load.count):
        counts.note(Renew(1, Incarnation(number, LABEL), b"", 1, client_count=2**40 * (number % 3)))
    yield Renewed(MOST, MOST, counts.loads(0.0), (GONE,) * min(load.count, GONE_MAX))


def append_entries(load: Load) -> Iterator[Message]:
    """Raft sends entries up to a number of bytes, or one of any size."""
    config = RaftConfig(node_id="n1")
    one_bytes = load.size + ENTRY_OVERHEAD_BYTES
    small = Entry(2**62, 2**62, EntryKind.COMMAND, bytes(load.size))
    large = Entry(2**62, 2**62, EntryKind.COMMAND, bytes(Limits.raft_data_bytes_max))
    for entries in ((small,) * (config.append_bytes_max // one_bytes), (large,)):
        yield AppendEntries(LABEL, LABEL, 2**62, 2**62, 2**62, 2**62, 2**62, entries)


SENDERS: dict[str, Callable[[Load], Iterator[Message]]] = {
    "Welcome.sessions": welcomes,
    "Accepted.request_ids": accepted,
    "Push.publishers": pushes,
    "Push.removals": pushes,
    "UnpublishDatum.removals": withdrawals,
    "Changes.changes": changes,
    "Changes.changes.publishers": changes,
    "Changes.changes.removals": changes,
    "Snapshot.publishers": snapshots,
    "CompareVersions.versions": compared_versions,
    "Versions.versions": compared_versions,
    "ComparePublishers.publishers": compared_publishers,
    "PublishersCompared.missing": compared_publishers,
    "PublishersCompared.strays": compared_publishers,
    "DatumsListed.datums": listings,
    "Changed.publishers": hints,
    "Changed.removals": hints,
    "Beat.sequences": beats,
    "Beat.unreconciled": beats,
    "Renewed.loads.lighter": renewals,
    "Renewed.gone": renewals,
    "MembershipReply.membership.members": memberships,
    "SettingsReply.settings": settings_replies,
    "AppendEntries.entries": append_entries,
    "MetaNodesReply.nodes": meta_nodes,
    "MetaNodesReply.copying": meta_nodes,
    "MetaNodesReply.session_loads": meta_nodes,
    "MetaNodesReply.gone": meta_nodes,
    "MetaNodesReply.silent": meta_nodes,
    "MembershipChanges.upserts": membership_changes,
    "MembershipChanges.removals": membership_changes,
    "Replicate.changes": replicated_changes,
    "Replicate.changes.publishers": replicated_changes,
    "Replicate.changes.removals": replicated_changes,
    "Replicate.tombstone_seconds": replicated_changes,
    "BucketDigests.digests": bucket_digests,
    "BucketsCompared.equal": bucket_digests,
    "BucketsCompared.differing": bucket_digests,
    "DatumDigests.datums": datums_of_a_bucket,
    "FetchCopies.names": fetched_copies,
    "DatumCopy.publishers": copies,
    "DatumCopy.tombstones": copies,
    "OfferCopy.publishers": copies,
    "OfferCopy.tombstones": copies,
    "EventsReply.events": event_replies,
    "AskFounding.founders": founding_statements,
    "FoundingReply.founders": founding_statements,
    "StatisticsReply.statistics": statistics_replies,
    "HopsReply.hops": hop_replies,
    "InstancesFound.instances": found_instances,
    "ClientsFound.subscriptions": found_clients,
    "ClientsFound.subscriptions.scopes": found_clients,
}


def growing_fields(kind: inspect.Type, path: str) -> Iterator[str]:
    """Yield the paths of all arrays whose length is not fixed."""
    match kind:
        case inspect.VarTupleType() | inspect.ListType() | inspect.DictType():
            yield path
            if not isinstance(kind, inspect.DictType):
                yield from growing_fields(kind.item_type, path)
        case inspect.TupleType():
            for item in kind.item_types:
                yield from growing_fields(item, path)
        case inspect.UnionType():
            for choice in kind.types:
                yield from growing_fields(choice, path)
        case inspect.StructType():
            for field in kind.fields:
                yield from growing_fields(field.type, f"{path}.{field.name}")


def test_each_field_that_can_grow_has_a_sender_that_cuts_it() -> None:
    kinds = [inspect.type_info(kind) for kind in TAGS.values()]
    found = [path for kind in kinds for path in growing_fields(kind, kind.cls.__name__)]  # type: ignore[attr-defined]

    assert found == list(SENDERS)


@pytest.mark.parametrize("sender", dict.fromkeys(SENDERS.values()))
@settings(max_examples=12)
@example(Load(0, "a", 1))
@example(Load(10_001, "a", 1))
@example(Load(12_000, WIDE, Limits.id_part_characters_max))
@given(loads)
def test_what_a_sender_makes_fits_into_a_frame_and_is_decoded_again(
    sender: Callable[[Load], Iterator[Message]], load: Load
) -> None:
    for record in sender(load):
        frames = encode_frames([record])
        assert len(frames) == 1
        assert decode_frame(frames[0]) == [record]


@given(loads)
def test_several_records_together_are_the_whole(load: Load) -> None:
    versions = [(name, Version(1, number)) for number, name in enumerate(load.names())]
    ids = list(range(load.count))

    acceptances = accepted_records(ids)
    answers = versions_records(4, 17, versions, 9)
    compared = comparison_records(17, versions)

    assert [i for accepted in acceptances for i in accepted.request_ids] == ids
    assert [pair for answer in answers for pair in answer.versions] == versions
    assert [pair for compare in compared for pair in compare.versions] == versions


@given(loads)
def test_the_records_that_replicate_changes_are_all_of_them_in_order(load: Load) -> None:
    named = [(load.name, change, (9.5,) * change.tombstone_count) for change in load.changes()]

    records = replicate_records(3, 9, named)

    pieces = [piece for record in records for _, piece in record.changes]
    publishers = [each for piece in pieces for each in piece.publishers]
    removals = [each for piece in pieces for each in piece.removals]
    assert publishers == [each for _, change, _ in named for each in change.publishers]
    assert removals == [each for _, change, _ in named for each in change.removals]
    assert [record.number for record in records] == [0] * (len(records) - 1) + [9]
    assert {record.ring_epoch for record in records} == {3}


@given(load=loads, is_complete=st.booleans())
def test_a_record_that_is_cut_holds_the_beginning_and_says_so(
    *, load: Load, is_complete: bool
) -> None:
    lines = [DatumSummary(load.name, LAST, number) for number in range(load.count)]
    strays = [(load.name, key, 1) for key in load.ids()]

    listed = datums_listed(4, lines, is_complete=is_complete)
    compared = publishers_compared(load.ids(), strays)
    digests = [(name, number, number) for number, name in enumerate(load.names())]
    named = datum_digests(4, digests, is_complete=is_complete)

    assert named.datums == tuple(digests[: len(named.datums)])
    assert named.is_complete == (is_complete and len(named.datums) == len(digests))
    assert bool(named.datums) == bool(digests), "asking again goes on"
    assert listed.datums == tuple(lines[: len(listed.datums)])
    assert listed.is_complete == (is_complete and len(listed.datums) == len(lines))
    assert bool(listed.datums) == bool(lines), "asking again goes on"
    assert compared.strays == tuple(strays[: len(compared.strays)])
    assert compared.missing == tuple(load.ids()[: Limits.ids_per_record_max])
