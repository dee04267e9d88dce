"""The page docs/benchmarks.md, as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from peer_systems.report.figures import GROUPS, Figure, Group
from peer_systems.report.samples import Samples, Spread

NAMES: Final = {"zreg": "zreg", "etcd": "etcd", "zookeeper": "ZooKeeper", "redis": "Redis"}
# What each system gives for the price: a figure without it would compare apples with pears.
BUYS: Final = {
    "zreg": (
        "`zreg.Client`: `publish`, `subscribe` with a callback",
        "one meta node, one session and one data node, one copy",
        "memory only: the owner holds the truth, and registers again after a loss",
        "one primary for each id orders its changes; subscribers converge to the newest version",
    ),
    "etcd": (
        "etcd-sdk-python (`pyetcd`, gRPC): keys under 128 leases a client, prefix watches",
        "one member of etcd 3.5",
        "each write is synced to disk before its answer (here a RAM disk, where a sync is free)",
        "linearizable reads and writes, transactions, a history of revisions",
    ),
    "zookeeper": (
        "kazoo: ephemeral nodes, `ChildrenWatch` and `DataWatch` (a watch fires, then kazoo reads)",
        "one server of ZooKeeper 3.8 on Java",
        "each write is synced to disk before its answer (here a RAM disk, where a sync is free)",
        "all writes in one order, reads of one server in order; a watch may skip values",
    ),
    "redis": (
        "redis-py with hiredis: keys with expiry, `PUBLISH` for each service, pipelines of 64",
        "one server of Redis 7.0",
        "memory only (no snapshot, no append-only file)",
        "one server orders all; a message comes at most once: after a gap, subscribers read again",
    ),
}


_ABOUT: Final = (
    "`bench/peers.py` wrote this page; do not edit it. Each system keeps the same registry in the "
    "way its Python client suggests. All processes run on one machine over loopback."
)
_HOW: Final = (
    "Each cell is the median of {rounds} with their range. The systems are measured in "
    "turns within a round, each on a new server, and a ratio compares figures of one round. Other "
    "programs can run on the machine, and its load average tells how many did: with more of them "
    "than processors a rate or a latency is several times worse in one round than in another one. "
    "Processor times and memory move much less, so read these first, then the ratios. Rates and "
    "latencies include the Python client of each system, which takes more processor time than "
    "most servers."
)


class Run(NamedTuple):
    """What a page tells about the run that it shows."""

    command: str
    machine: Sequence[str]
    rounds: int
    systems: Sequence[str]
    left_out: Mapping[str, str]


def number(value: float) -> str:
    """Return a number with three significant digits, and with thousands separated."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}"


def cell(spread: Spread | None, suffix: str = "") -> str:
    """Return a median with its range; a dash if nothing was measured."""
    if spread is None:
        return "–"  # noqa: RUF001 -- a dash
    median, low, high = map(number, spread)
    return f"{median}{suffix} ({low} to {high})" if low != high else f"{median}{suffix}"


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"


def _row(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


def _figure_rows(figure: Figure, samples: Samples, systems: Sequence[str]) -> str:
    cells = [f"{figure.title}, {figure.unit}"]
    cells += [cell(samples.spread(figure.key, system)) for system in systems]
    cells += [cell(samples.ratio(figure.key, "zreg", peer), " x") for peer in _peers(systems)]
    return _row(cells)


def _peers(systems: Sequence[str]) -> list[str]:
    return [system for system in systems if system != "zreg"] if "zreg" in systems else []


def _group(group: Group, samples: Samples, run: Run) -> Iterator[str]:
    yield from (f"## {group.heading}", "", group.method, "")
    headings = ["figure", *(NAMES[system] for system in run.systems)]
    headings += [f"zreg / {NAMES[peer]}" for peer in _peers(run.systems)]
    yield _row(headings)
    yield _row(["---"] * len(headings))
    for figure in group.figures:
        yield _figure_rows(figure, samples, run.systems)
    for system in run.systems:
        count = samples.rounds(group.figures[0].key, system)
        if count < run.rounds:
            yield from ("", f"{NAMES[system]}: {count} of {run.rounds} rounds; the rest failed.")
    yield from ("", f"![{group.heading}](benchmarks/{group.key}.svg)", "")


def _buys(systems: Sequence[str]) -> Iterator[str]:
    yield from ("## What each system buys", "")
    yield "A faster row is no better row if it gives less. No figure shows these differences:"
    yield ""
    yield _row(["system", "client and way", "server", "durability", "consistency"])
    yield _row(["---"] * 5)
    for system in systems:
        yield _row([NAMES[system], *BUYS[system]])
    yield ""


def render_page(samples: Samples, run: Run, groups: Sequence[str]) -> str:
    """Return the page with the groups of figures that were measured."""
    lines = ["# zreg beside etcd, ZooKeeper and Redis", "", _ABOUT, "", f"    {run.command}", ""]
    lines += [
        f"Machine: {'; '.join(run.machine)}.",
        "",
        _HOW.format(rounds=_rounds(run.rounds)),
        "",
    ]
    lines += [f"Not measured: {NAMES[name]}: {why}\n" for name, why in run.left_out.items()]
    lines += _buys(run.systems)
    for group in GROUPS:
        if group.key in groups:
            lines += _group(group, samples, run)
    return "\n".join(lines).rstrip() + "\n"
