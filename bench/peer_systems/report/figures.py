"""The table of all figures: what each is called, its unit, and which direction is better."""

from typing import Final, NamedTuple


class Figure(NamedTuple):
    """One number that each system has in each round."""

    key: str
    title: str
    unit: str
    is_more_better: bool = False


class Group(NamedTuple):
    """Figures that are measured together, under one heading of the page."""

    key: str
    heading: str
    method: str
    figures: tuple[Figure, ...]
    # The figures that are drawn.
    plotted: tuple[str, ...]


def _rates(key: str, title: str) -> tuple[Figure, ...]:
    return (
        Figure(key, title, "1/s", is_more_better=True),
        Figure(f"{key}_server_us", f"{title}: server's processor time for each", "µs"),
        Figure(f"{key}_client_us", f"{title}: clients' processor time for each", "µs"),
    )


def _pushes(processes: int) -> tuple[Figure, ...]:
    key, title = f"push_{processes}", f"10 subscribers in {processes} processes"
    return (
        Figure(f"{key}_p50_ms", f"{title}, p50", "ms"),
        Figure(f"{key}_p99_ms", f"{title}, p99", "ms"),
        Figure(f"{key}_server_us", f"{title}: server's processor time a change", "µs"),
        Figure(f"{key}_client_us", f"{title}: clients' processor time a change", "µs"),
    )


GROUPS: Final = (
    Group(
        "publish",
        "Registering and republishing",
        "Acknowledged operations per second of all clients together. Each client is a process with "
        "64 operations in flight. After 3 s of warming up it registers 8,000 names in 100 "
        "services, then it republishes 128 of them in turns.",
        (
            *_rates("new_1", "new registrations, 1 client"),
            *_rates("new_8", "new registrations, 8 clients"),
            *_rates("again_1", "republishes, 1 client"),
            *_rates("again_8", "republishes, 8 clients"),
        ),
        ("new_1", "new_8", "again_1", "again_8"),
    ),
    Group(
        "push",
        "Push",
        "The time from before a republish until the callback of a subscriber has the value, over "
        "all subscribers and changes. One value changes 50 times a second. Processor time of the "
        "clients is that of the publisher and all ten subscribers.",
        (*_pushes(10), *_pushes(2)),
        ("push_10_p50_ms", "push_10_p99_ms", "push_2_p50_ms", "push_2_p99_ms"),
    ),
    Group(
        "fanout",
        "Fan-out",
        "The time from before a republish until the last subscriber has the value: the median of "
        "10 changes. Each subscriber is a client of its own; 100 subscribers are in 2 "
        "processes, 1,000 in 10. The memory is what the server has more with the subscribers "
        "connected.",
        (
            Figure("fanout_100_ms", "last of 100 subscribers", "ms"),
            Figure("fanout_1000_ms", "last of 1,000 subscribers", "ms"),
            Figure("fanout_1000_server_us", "server's processor time for each of 1,000", "µs"),
            Figure("fanout_1000_client_us", "clients' processor time for each of 1,000", "µs"),
            Figure("connection_1000_bytes", "server's memory for each of 1,000", "bytes"),
        ),
        ("fanout_100_ms", "fanout_1000_ms"),
    ),
    Group(
        "idle",
        "Idle clients",
        "Processor time a second of each of 100 clients that hold one registration with a lease of "
        "3 s and follow one service, while nothing changes.",
        (
            Figure("idle_server_us", "server's processor time a client and second", "µs"),
            Figure("idle_client_us", "client's processor time a client and second", "µs"),
        ),
        ("idle_server_us", "idle_client_us"),
    ),
    Group(
        "memory",
        "Memory",
        "What the server has more with 32,000 registrations of 4 clients, divided by their number. "
        "Values have 46 bytes. Memory is what the server's processes have resident, for ZooKeeper "
        "the heap in use after a collection: the resident memory of Java is what it once needed.",
        (Figure("publisher_bytes", "server's memory a registration", "bytes"),),
        ("publisher_bytes",),
    ),
    Group(
        "kill",
        "Owner killed",
        "The time from SIGKILL of the process that owns the registrations until a subscriber has "
        "heard that the last of them is gone. Each system has a lease of 3 s. The kernel closes "
        "the connections of a killed process: zreg acts on that after half a second. A machine "
        "that vanishes takes its whole lease in each system.",
        (
            Figure("kill_1_ms", "owner of 1 registration", "ms"),
            Figure("kill_1000_ms", "owner of 1,000 registrations", "ms"),
        ),
        ("kill_1_ms", "kill_1000_ms"),
    ),
)
