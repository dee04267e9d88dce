"""What is published on a host, as far as this data node is the primary of it.

There is no index by host: operators ask rarely, and programs publish often. So each page goes
through a bounded part of the datums in the order of their names, and may be empty.
"""

from collections.abc import Iterator
from typing import Final

from zreg.data.store.bucket import BucketRole
from zreg.data.store.datum import Datum
from zreg.data.store.datum_buckets import DatumBuckets
from zreg.model import DataInfoId
from zreg.primitives.host_match import HostMatch
from zreg.primitives.reports.host_search import HostSearch
from zreg.wire.parts import first_instances
from zreg.wire.records.common_messages import FindInstances, HostInstance, InstancesFound

# How many datums and publishers one page looks at, and the rest of the last datum: some ms.
_SLICE: Final = 5000


class InstanceSearch(HostSearch):
    """Looks through the datums of a data node for what is on a host."""

    def __init__(self, buckets: DatumBuckets) -> None:
        self._buckets = buckets

    def instances(self, question: FindInstances, node_id: str) -> InstancesFound:
        """Return the next page; publishers of one datum are in the order of their ids."""
        match = HostMatch(question.host)
        found: list[HostInstance] = []
        looked_at, last, after_publisher = 0, question.after_name, question.after_publisher
        is_complete = True
        for datum in self._datums_from(question):
            if looked_at >= _SLICE or len(found) > question.limit:
                is_complete = False
                break
            after = after_publisher if datum.name == question.after_name else b""
            found += self._of_datum(datum, match, after)
            looked_at += 1 + len(datum.publishers)
            last, after_publisher = datum.name, b""
        page = first_instances(found, question.limit)
        if len(page) < len(found):
            is_complete = False
            last, after_publisher = page[-1].data_info_id, page[-1].publisher.publisher_id
        return InstancesFound(
            question.request_id, node_id, page, last, after_publisher, is_complete
        )

    def _datums_from(self, question: FindInstances) -> Iterator[Datum]:
        """Yield the datums from where a page begins on, of which this node is the primary."""
        names = self._buckets.names.after(question.after_name, "")
        if question.after_publisher:
            yield from self._primary_datum(question.after_name)
        for name in names:
            yield from self._primary_datum(name)

    def _primary_datum(self, name: DataInfoId) -> Iterator[Datum]:
        datum = self._buckets.find(name)
        if datum is not None and self._buckets.role(datum.bucket) is BucketRole.PRIMARY:
            yield datum

    @staticmethod
    def _of_datum(datum: Datum, match: HostMatch, after: bytes) -> list[HostInstance]:
        publishers = (each for each in datum.publishers.values() if each.publisher_id > after)
        found = [each for each in publishers if match.is_in(each.body)]
        found.sort(key=lambda each: each.publisher_id)
        return [HostInstance(datum.name, each) for each in found]
