"""Cuts what is sent to the limits of its receiver, by count and by bytes.

Everything that can grow goes through this module: publishers, changes, ids, versions, listings. A
sender makes several records of it, or one record that says that there is more. Sizes are upper
estimates, so that nothing has to be encoded twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from zreg.config import Limits
from zreg.model import Change, DataInfoId, Member, Publisher, Removal, Version
from zreg.wire.records.common_messages import Accepted, HostInstance, HostSubscription
from zreg.wire.records.data_messages import (
    CompareVersions,
    DatumsListed,
    DatumSummary,
    PublishersCompared,
    Versions,
)
from zreg.wire.records.replication_messages import DatumDigest, DatumDigests, Replicate

ItemT = TypeVar("ItemT")
NamedVersion = tuple[DataInfoId, Version]
Stray = tuple[DataInfoId, bytes, int]
# A change of a datum, and for how many seconds each of its removals is still remembered.
ReplicatedChange = tuple[DataInfoId, Change, tuple[float, ...]]
Tombstone = tuple[Removal, float]

# The most bytes that each takes on the wire, without its elements, texts and body.
_CHANGE_BYTES: Final = 46
_PUBLISHER_BYTES: Final = 73
_REMOVAL_BYTES: Final = 42
_SECONDS_BYTES: Final = 10
_NAMED_VERSION_BYTES: Final = 23
_STRAY_BYTES: Final = 31
_SUMMARY_BYTES: Final = 32
_MEMBER_BYTES: Final = 50
_SUBSCRIPTION_BYTES: Final = 48
# The same for a publisher with its texts: four labels of four-byte characters.
_PUBLISHER_BYTES_MAX: Final = _PUBLISHER_BYTES + 4 * 4 * Limits.label_characters_max
# The most lines of a listing, which a request for it can name.
_LINES_MAX: Final = 1000
_TOMBSTONES_MAX: Final = Limits.removals_per_record_max
# The end of a text that was cut.
_MORE: Final = " ..."
# What is longer is no word of a sentence, and may be cut itself.
_WORD_CHARACTERS_MAX: Final = 80


def cut_detail(text: str) -> str:
    """Return a text for people, cut between two words if a record could not hold it."""
    if len(text) <= Limits.detail_characters_max:
        return text
    kept = text[: Limits.detail_characters_max - len(_MORE)]
    words, _, begun = kept.rpartition(" ")
    return f"{words if len(begun) < _WORD_CHARACTERS_MAX else kept}{_MORE}"


# --- publishers and changes -----------------------------------------------------------------------


def change_size(change: Change) -> int:
    """Return an upper estimate of the bytes that a change takes on the wire."""
    removals = sum(
        _REMOVAL_BYTES + _text_size(removal.session.node_id) for removal in change.removals
    )
    return _CHANGE_BYTES + sum(_size(publisher) for publisher in change.publishers) + removals


def fits_inline(change: Change) -> bool:
    """Return whether a change is small enough to be sent inside its hint."""
    if len(change.publishers) == 1 and not change.removals:
        # The usual change: the bound on labels shows that it fits without measuring them.
        bytes_max = len(change.publishers[0].body) + _CHANGE_BYTES + _PUBLISHER_BYTES_MAX
        if bytes_max <= Limits.inline_change_bytes_max:
            return True
    return change_size(change) <= Limits.inline_change_bytes_max


def fit_one_record(changes: Iterable[Change]) -> bool:
    """Return whether changes are small enough to be sent in one record; else send a snapshot."""
    return sum(change_size(change) for change in changes) <= Limits.part_bytes_max


def in_parts(publishers: Iterable[Publisher]) -> Iterator[tuple[Publisher, ...]]:
    """Split publishers into parts of about `Limits.part_bytes_max`; none make one empty part."""
    return _parts(publishers, _size, Limits.publishers_per_record_max)


def _size(publisher: Publisher) -> int:
    return (
        _PUBLISHER_BYTES
        + len(publisher.body)
        + _text_size(publisher.zone)
        + _text_size(publisher.data_center)
        + _text_size(publisher.app)
        + _text_size(publisher.session.node_id)
    )


# --- answers and comparisons ----------------------------------------------------------------------


def accepted_records(request_ids: Sequence[int], copies: int = 1) -> list[Accepted]:
    """Return the records that accept these requests, in order."""
    size = Limits.ids_per_record_max
    if len(request_ids) <= size:
        return [Accepted(tuple(request_ids), copies)]
    return [
        Accepted(tuple(request_ids[at : at + size]), copies)
        for at in range(0, len(request_ids), size)
    ]


def comparison_records(bucket: int, versions: Iterable[NamedVersion]) -> list[CompareVersions]:
    """Return the requests that compare these versions of a bucket's datums."""
    parts = _parts(versions, _named_version_size, Limits.ids_per_record_max)
    return [CompareVersions(0, bucket, part) for part in parts]


def versions_records(
    request_id: int, bucket: int, versions: Iterable[NamedVersion], sequence: int
) -> list[Versions]:
    """Return the answer to a comparison, in as many records as it needs."""
    parts = _parts(versions, _named_version_size, Limits.ids_per_record_max)
    return [Versions(request_id, bucket, part, sequence) for part in parts]


def publishers_compared(missing: Sequence[bytes], strays: Iterable[Stray]) -> PublishersCompared:
    """Return as much of a comparison as fits one record; the next comparison finds the rest."""
    count_max = Limits.ids_per_record_max
    first_strays = next(_parts(strays, _stray_size, count_max))
    return PublishersCompared(tuple(missing[:count_max]), first_strays)


def datums_listed(
    request_id: int, lines: Iterable[DatumSummary], *, is_complete: bool
) -> DatumsListed:
    """Return as many lines of a listing as fit one record.

    It is complete if no line was cut off, and the given lines are complete. Otherwise its receiver
    asks again after the last name.
    """
    parts = _parts(lines, _summary_size, _LINES_MAX)
    first = next(parts)
    is_cut = next(parts, None) is not None
    return DatumsListed(request_id, first, is_complete and not is_cut)


def first_instances(found: Iterable[HostInstance], count_max: int) -> tuple[HostInstance, ...]:
    """Return the first of these that fit one record, at least one if there is any."""
    return next(_parts(found, _instance_size, count_max))


def first_subscriptions(
    found: Iterable[HostSubscription], count_max: int
) -> tuple[HostSubscription, ...]:
    """Return the first of these that fit one record, at least one if there is any."""
    return next(_parts(found, _subscription_size, count_max))


def member_size(member: Member) -> int:
    """Return an upper estimate of the bytes that a member takes on the wire.

    A membership is one record and is never cut. Meta refuses a member above
    `Limits.member_bytes_max`, so that `Limits.members_max` of them fit into a frame.
    """
    texts = (
        member.node_id,
        member.address,
        member.changes_address,
        member.zone,
        member.data_center,
    )
    return _MEMBER_BYTES + sum(len(text.encode()) for text in texts)


# --- copies ---------------------------------------------------------------------------------------


def replicate_records(
    ring_epoch: int, number: int, changes: Iterable[ReplicatedChange]
) -> list[Replicate]:
    """Return the records that carry these changes, the last of which has this number.

    All records but the last have number 0: the replica acknowledges all of them at once.
    """
    pieces = (piece for change in changes for piece in _pieces(change))
    parts = list(_parts(pieces, _replicated_size, Limits.changes_per_record_max))
    last = len(parts) - 1
    return [
        Replicate(
            ring_epoch,
            number if index == last else 0,
            tuple((name, change) for name, change, _ in part),
            tuple(seconds for _, _, of_change in part for seconds in of_change),
        )
        for index, part in enumerate(parts)
    ]


def _pieces(replicated: ReplicatedChange) -> Iterator[ReplicatedChange]:
    """Split a change into pieces with the same versions, each of which fits a record."""
    name, change, tombstone_seconds = replicated
    count = len(change.publishers) + len(change.removals)
    if count <= 1 or _replicated_size(replicated) <= Limits.part_bytes_max:
        yield replicated
        return
    source_version, version, is_quiet = change.source_version, change.version, change.is_quiet
    for part in in_parts(change.publishers):
        if part:
            yield name, Change(source_version, version, part, (), is_quiet), ()
    seconds = iter(tombstone_seconds)
    for removals in _parts(change.removals, _removal_size, Limits.removals_per_record_max):
        if removals:
            piece = Change(source_version, version, (), removals, is_quiet)
            yield name, piece, tuple(islice(seconds, piece.tombstone_count))


def copy_parts(
    publishers: Iterable[Publisher], tombstones: Iterable[Tombstone]
) -> list[tuple[tuple[Publisher, ...], tuple[Tombstone, ...]]]:
    """Split a datum into parts, each of which fits a record; an empty one makes one part."""
    buried = _parts(tombstones, lambda each: _removal_size(each[0]), _TOMBSTONES_MAX)
    parts: list[tuple[tuple[Publisher, ...], tuple[Tombstone, ...]]]
    parts = [(part, ()) for part in in_parts(publishers) if part]
    parts += [((), part) for part in buried if part]
    return parts or [((), ())]


def datum_digests(
    request_id: int, digests: Iterable[DatumDigest], *, is_complete: bool
) -> DatumDigests:
    """Return as many digests as fit one record; it is complete if none was cut off before."""
    parts = _parts(digests, _datum_digest_size, Limits.ids_per_record_max)
    first = next(parts)
    is_cut = next(parts, None) is not None
    return DatumDigests(request_id, first, is_complete and not is_cut)


def _instance_size(found: HostInstance) -> int:
    return _size(found.publisher) + _text_size(found.data_info_id)


def _subscription_size(found: HostSubscription) -> int:
    labels = sum(map(_text_size, (found.app, found.zone, found.data_center)))
    return _SUBSCRIPTION_BYTES + labels + _text_size(found.data_info_id)


def _named_version_size(item: NamedVersion) -> int:
    return _NAMED_VERSION_BYTES + _text_size(item[0])


def _stray_size(stray: Stray) -> int:
    return _STRAY_BYTES + _text_size(stray[0])


def _summary_size(line: DatumSummary) -> int:
    return _SUMMARY_BYTES + _text_size(line.data_info_id)


def _replicated_size(replicated: ReplicatedChange) -> int:
    name, change, seconds = replicated
    return change_size(change) + _text_size(name) + _SECONDS_BYTES * len(seconds)


def _removal_size(removal: Removal) -> int:
    return _REMOVAL_BYTES + _SECONDS_BYTES + _text_size(removal.session.node_id)


def _datum_digest_size(item: DatumDigest) -> int:
    return _NAMED_VERSION_BYTES + _text_size(item[0])


def _text_size(text: str) -> int:
    # Clients choose the labels and names; in UTF-8 a character takes up to four bytes.
    return len(text) if text.isascii() else 4 * len(text)


def _parts(
    items: Iterable[ItemT], size_of: Callable[[ItemT], int], count_max: int
) -> Iterator[tuple[ItemT, ...]]:
    """Split items into parts within `count_max` and about `Limits.part_bytes_max`.

    Each part but the only one holds an item; a single item of any size makes a part of its own.
    """
    part: list[ItemT] = []
    size = 0
    for item in items:
        item_size = size_of(item)
        if part and (size + item_size > Limits.part_bytes_max or len(part) >= count_max):
            yield tuple(part)
            part, size = [], 0
        part.append(item)
        size += item_size
    yield tuple(part)
