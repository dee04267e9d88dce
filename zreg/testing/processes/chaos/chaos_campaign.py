"""One campaign: a cluster of real processes under faults of every kind, from a seed."""

import logging
import random
import threading
import time
from pathlib import Path
from statistics import quantiles
from typing import Final

import msgspec

from zreg.testing.processes.chaos.lasting_clients import LastingClients, Removal
from zreg.testing.processes.chaos.random_faults import RandomFaults
from zreg.testing.processes.proxied_cluster import ProxiedCluster

SETTLE_SECONDS_MAX: Final = 15.0
_PAUSES: Final = (0.3, 1.0, 4.0, 8.0)
_LOOK_SECONDS: Final = 0.05
# Removals that are closer together than this belong to one moment.
_MOMENT_SECONDS: Final = 3.0
# What began so long before a removal may be its cause.
_BEFORE_SECONDS: Final = 40.0
_WRONG_VIEWS_SHOWN: Final = 5
_pause: Final = threading.Event()


class Size(msgspec.Struct, frozen=True):
    """How many nodes and clients take part."""

    metas: int = 3
    sessions: int = 3
    data: int = 4
    ids: int = 60
    publishers: int = 6
    watchers: int = 4


class Outcome(msgspec.Struct, frozen=True):
    """What a campaign has shown."""

    summary: str
    is_failed: bool
    counts: dict[str, int]


def run_campaign(seed: int, seconds: float, directory: Path, size: Size) -> Outcome:
    """Run one seed; the directory keeps the logs of all nodes, of the clients and of the faults."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)  # noqa: S311 -- a campaign wants a seed
    log = _log_clients_to(directory / "clients.log")
    try:
        with ProxiedCluster(
            directory, metas=size.metas, sessions=size.sessions, data=size.data
        ) as cluster:
            return _run(cluster, seed, seconds, rng, size)
    finally:
        logging.getLogger("zreg").removeHandler(log)
        log.close()


def _run(
    cluster: ProxiedCluster, seed: int, seconds: float, rng: random.Random, size: Size
) -> Outcome:
    # The threads of the clients draw from a source of their own, so that a seed gives one sequence
    # of faults.
    clients = LastingClients(
        [cluster.url_of(node.node_id) for node in cluster.of("session")],
        random.Random(f"{seed} clients"),  # noqa: S311 -- as above
        id_count=size.ids,
        publisher_count=size.publishers,
        watcher_count=size.watchers,
    )
    try:
        faults = RandomFaults(cluster, rng)
        clients.start(lambda: faults.seconds)
        while faults.seconds < seconds:
            faults.step()
            end_at = faults.seconds + rng.choice(_PAUSES)
            while faults.seconds < end_at:
                faults.end_due()
                _pause.wait(_LOOK_SECONDS)
        faults.end_all()
        clients.stop()
        ended_at = time.monotonic()
        while (wrong := clients.wrong_views()) and time.monotonic() - ended_at < SETTLE_SECONDS_MAX:
            _pause.wait(_LOOK_SECONDS)
        settled_seconds = time.monotonic() - ended_at
        ended = [node.node_id for node in cluster.nodes.values() if not node.is_alive]
    finally:
        clients.stop()
        clients.close()
    lines = [_summary(seed, seconds, faults, clients)]
    lines += _proxy_stalls(cluster, faults)
    lines.append(f"  {len(wrong)} wrong views at the end, after {settled_seconds:.1f} s")
    lines += [f"    {each}" for each in wrong[:_WRONG_VIEWS_SHOWN]]
    lines += [f"  {node_id} ended by itself: see its log" for node_id in ended]
    lines += _moments(clients.removals, faults)
    _write(cluster, faults, lines)
    is_failed = bool(wrong or ended or clients.removals)
    return Outcome("\n".join(lines), is_failed, dict(faults.counts))


def _proxy_stalls(cluster: ProxiedCluster, faults: RandomFaults) -> list[str]:
    stalls = [(at - faults.began_at, length) for at, length in cluster.proxy_stalls]
    return [f"  the proxy stalled at {at:.1f} s for {length:.1f} s" for at, length in stalls]


def _write(cluster: ProxiedCluster, faults: RandomFaults, lines: list[str]) -> None:
    """Write the faults and the outcome beside the logs of the nodes."""
    history = "".join(f"{at:7.1f} {text}\n" for at, text in faults.history)
    (cluster.directory / "faults.log").write_text(history, encoding="utf-8")
    (cluster.directory / "outcome.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _summary(seed: int, seconds: float, faults: RandomFaults, clients: LastingClients) -> str:
    accepted = clients.accepted or [0.0]
    percents = quantiles(accepted, n=100) if len(accepted) > 1 else accepted * 99
    fired = sum(faults.counts[kind] for kind in faults.kinds)
    longest = max((length for _, length in clients.stalls), default=0.0)
    return (
        f"seed {seed}: {fired} faults in {seconds:g} s; {len(clients.removals)} false removals; "
        f"{len(clients.accepted)} republishes accepted, {clients.late} late, "
        f"p50 {percents[49] * 1000:.0f} ms, p99 {percents[98] * 1000:.0f} ms; "
        f"{len(clients.stalls)} stalls of the clients, longest {longest:.1f} s"
    )


def _moments(removals: list[Removal], faults: RandomFaults) -> list[str]:
    """Return what was removed in each moment, and the faults before it."""
    lines: list[str] = []
    rest = sorted(removals, key=lambda removal: removal.at)
    while rest:
        at = rest[0].at
        moment = [removal for removal in rest if removal.at - at < _MOMENT_SECONDS]
        rest = rest[len(moment) :]
        publishers = sorted({removal.publisher_id for removal in moment})
        watchers = sorted({removal.watcher for removal in moment})
        away = sorted(removal.away_seconds for removal in moment)
        lines.append(
            f"  at {at:.1f} s: {len(publishers)} publishers ({', '.join(publishers[:4])}) "
            f"removed at watchers {watchers}; their clients were without a session for "
            f"{away[0]:.1f} to {away[-1]:.1f} s; before:"
        )
        lines += [
            f"    {began_at:7.1f} {text}"
            for began_at, text in faults.history
            if at - _BEFORE_SECONDS < began_at < at + _MOMENT_SECONDS
        ]
    return lines


def _log_clients_to(path: Path) -> logging.Handler:
    handler = logging.FileHandler(path)
    handler.setFormatter(
        logging.Formatter("%(asctime)s.%(msecs)03d %(threadName)s %(message)s", "%X")
    )
    logger = logging.getLogger("zreg")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler
