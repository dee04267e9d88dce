"""What the processes of a campaign report, and what subscribers must not have seen."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

# The value of each publisher, by the id of the publisher.
Values = dict[str, str]


class Published(msgspec.Struct, frozen=True):
    """What the publishers of one process have done; times are in monotonic seconds."""

    # What is published now, by data id.
    values: dict[str, Values]
    # When each withdrawal began, by the id of the publisher.
    withdrawn_at: dict[str, float]
    change_count: int


class Removal(msgspec.Struct, frozen=True):
    """A publisher that a subscriber saw removed, in monotonic seconds."""

    at: float
    data_id: str
    publisher_id: str


class Seen(msgspec.Struct, frozen=True):
    """What the subscribers of one process have seen."""

    # The present view of each subscriber, with its data id.
    views: list[tuple[str, Values]]
    removals: list[Removal]
    change_count: int


class Differences(msgspec.Struct, frozen=True):
    """How views differ from what is published, a line for each publisher of a view."""

    # Publishers that a view lacks, or shows with a former value.
    lost: list[str]
    # Publishers that a view shows although they were withdrawn.
    left_over: list[str]

    def __bool__(self) -> bool:
        """Return whether there is a difference."""
        return bool(self.lost or self.left_over)


def joined(reports: Iterable[Published]) -> Published:
    """Return the reports of several processes as one."""
    values: dict[str, Values] = {}
    withdrawn_at: dict[str, float] = {}
    change_count = 0
    for report in reports:
        for data_id, more in report.values.items():
            values.setdefault(data_id, {}).update(more)
        withdrawn_at |= report.withdrawn_at
        change_count += report.change_count
    return Published(values, withdrawn_at, change_count)


def false_removals(removals: Iterable[Removal], withdrawn_at: Mapping[str, float]) -> list[Removal]:
    """Return the removals of publishers that nothing had withdrawn when they were seen."""
    never = float("inf")
    return [each for each in removals if each.at < withdrawn_at.get(each.publisher_id, never)]


def differences(published: Published, seen: Sequence[Seen]) -> Differences:
    """Return how each view differs from what is published under its data id."""
    lost: list[str] = []
    left_over: list[str] = []
    for data_id, shown in (view for report in seen for view in report.views):
        wanted = published.values.get(data_id, {})
        lost += [
            f"{data_id}: a view shows {shown.get(publisher_id, 'no value')} in place of {value}"
            for publisher_id, value in wanted.items()
            if shown.get(publisher_id) != value
        ]
        left_over += [
            f"{data_id}: a view still shows {value}"
            for publisher_id, value in shown.items()
            if publisher_id not in wanted
        ]
    return Differences(lost, left_over)
