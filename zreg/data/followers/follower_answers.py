"""The answers to followers and sessions: changes, snapshots, comparisons, listings.

Pure functions of the store. Large answers are cut into parts that fit into a frame.
"""

import fnmatch
import re
from typing import Final

from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum import Datum
from zreg.data.store.datum_store import DatumStore
from zreg.model import ZERO, DataInfoId, Incarnation, Version
from zreg.wire.parts import (
    datums_listed,
    fit_one_record,
    in_parts,
    publishers_compared,
    versions_records,
)
from zreg.wire.records.data_messages import (
    Changes,
    ComparePublishers,
    CompareVersions,
    DatumsListed,
    DatumSummary,
    FetchChanges,
    ListDatums,
    PublishersCompared,
    Snapshot,
    Versions,
)

_PLAIN: Final = re.compile(r"[^*?\[]*")


def logged_changes(
    store: DatumStore, datum: Datum, fetch: FetchChanges, sequence: int
) -> Changes | None:
    """Return the changes since the follower's version; None if a snapshot is needed or smaller.

    A follower without a copy needs a snapshot: changes lead from one copy to the next.
    """
    if fetch.version == ZERO:
        return None
    changes = store.changes_since(datum, fetch.version)
    if changes is None or not fit_one_record(changes):
        return None
    return Changes(fetch.request_id, datum.name, tuple(changes), sequence)


def snapshot_parts(
    datum: Datum, fetch: FetchChanges, sequence: int, *, is_unreconciled: bool
) -> list[Snapshot]:
    """Return a datum as snapshot records; the last one has `parts_left` 0."""
    parts = list(in_parts(datum.publishers.values()))
    return [
        Snapshot(
            fetch.request_id,
            datum.name,
            datum.version,
            part,
            len(parts) - 1 - index,
            sequence,
            is_unreconciled=is_unreconciled,
        )
        for index, part in enumerate(parts)
    ]


def absent(
    fetch: FetchChanges, version: Version, sequence: int, *, is_unreconciled: bool
) -> Snapshot:
    """Return the answer that there is no such datum; unreconciled: this node may not know it."""
    return Snapshot(
        fetch.request_id,
        fetch.data_info_id,
        version,
        (),
        0,
        sequence,
        is_known=False,
        is_unreconciled=is_unreconciled,
    )


def compared_versions(
    store: DatumStore, compare: CompareVersions, present: Version, sequence: int
) -> list[Versions]:
    """Return which of the follower's versions differ from the store's.

    A datum that is not in the store differs if a datum dropped from it may have been newer.
    """
    differing: list[tuple[DataInfoId, Version]] = []
    for name, version in compare.versions:
        datum = store.find(name)
        if datum is not None and datum.version != version:
            differing.append((name, datum.version))
        elif datum is None and version < store.buckets.dropped_version:
            differing.append((name, present))
    return versions_records(compare.request_id, compare.bucket, differing, sequence)


def compared_publishers(
    store: DatumStore, compare: ComparePublishers, session: Incarnation
) -> PublishersCompared:
    """Return which publishers that a session named are missing here, and its strays.

    A stray is a publisher that this session registered here and did not name.
    """
    held = store.buckets.by_session.of(session)
    named = dict(compare.publishers)
    missing = [
        publisher_id
        for publisher_id, version in named.items()
        if (found := held.find(publisher_id)) is None or found.version < version
    ]
    strays = (
        (datum.name, publisher_id, datum.publishers[publisher_id].version)
        for publisher_id, datum in held.in_range(compare.first_byte_min, compare.first_byte_max)
        if publisher_id not in named
    )
    return publishers_compared(missing, strays)


def listed_datums(store: DatumStore, request: ListDatums) -> DatumsListed:
    """Return the next names after the given one that match its shell-style pattern.

    Long names are cut off at what fits one record; then it is not complete.
    """
    matches = re.compile(fnmatch.translate(request.pattern)).match
    buckets = store.buckets
    lines: list[DatumSummary] = []
    has_more = False
    for name in buckets.names.after(request.after, _plain_beginning(request.pattern)):
        datum = buckets.find(name) if matches(name) else None
        if datum is None or not datum.publishers:
            continue
        if buckets.role(datum.bucket) is not BucketRole.PRIMARY:
            continue
        if len(lines) == request.limit:
            has_more = True
            break
        lines.append(DatumSummary(name, datum.version, len(datum.publishers)))
    return datums_listed(request.request_id, lines, is_complete=not has_more)


def _plain_beginning(pattern: str) -> str:
    """Return what each name that matches a pattern begins with."""
    return _PLAIN.match(pattern)[0]  # type: ignore[index]  # it matches any text
