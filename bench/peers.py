"""zreg beside etcd, ZooKeeper and Redis: rates, latencies, processor time and memory, in turns.

    python bench/peers.py --json figures.json --page docs/benchmarks.md
    python bench/peers.py --quick                 zreg beside Redis, within a minute
    python bench/peers.py --systems zreg,redis --figures publish,push --rounds 1
    python bench/peers.py --render figures.json --page docs/benchmarks.md

Each measurement prints a JSON line. A system that is not installed is installed if this may do so
(Debian's packages as root, PyPI's in a venv of the benchmark), or left out with the reason.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from peer_systems.clients.connect import ZREG_CLIENT
from peer_systems.install import find_all
from peer_systems.measure.fanout import measure_fanout
from peer_systems.measure.idle import measure_idle
from peer_systems.measure.kill import measure_kill
from peer_systems.measure.memory import measure_memory
from peer_systems.measure.publish import measure_publish
from peer_systems.measure.push import measure_push
from peer_systems.measure.running import Load, System
from peer_systems.processes import ROOT
from peer_systems.report.figures import GROUPS
from peer_systems.report.page import Run, render_page
from peer_systems.report.plots import render_plot
from peer_systems.report.samples import Sample, Samples

MEASURES: Final[dict[str, Callable[[System, Load], dict[str, float]]]] = {
    "publish": measure_publish,
    "push": measure_push,
    "fanout": measure_fanout,
    "idle": measure_idle,
    "memory": measure_memory,
    "kill": measure_kill,
}
SYSTEMS: Final = ("zreg", "etcd", "zookeeper", "redis")
NEW_COUNT: Final = 8000
QUICK: Final = {
    "systems": ["zreg", "redis"],
    "figures": ["publish", "push"],
    "rounds": 1,
    "seconds": 1.0,
    "new_count": 2000,
}


def _names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(allowed)}")
        return names

    return parse


def _some_of(names: Iterable[str]) -> str:
    return f"all or some of {','.join(names)}"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--systems", type=_names(SYSTEMS), default=list(SYSTEMS), help=_some_of(SYSTEMS))
    add("--figures", type=_names(tuple(MEASURES)), default=list(MEASURES), help=_some_of(MEASURES))
    add("--zreg-client", choices=("threads", "asyncio"), default="threads")
    add("--rounds", type=int, default=3, help="how often all is measured (3)")
    add("--seconds", type=float, default=3.0, help="length of what is timed (3)")
    add("--json", type=Path, metavar="FILE", help="write all samples there")
    add("--page", type=Path, metavar="FILE", help="write the page there, and its plots beside it")
    add("--render", type=Path, metavar="FILE", help="only write the page of an earlier --json FILE")
    add("--quick", action="store_true", help="publish and push of zreg and Redis, one round")
    add("--venv", type=Path, default=ROOT / ".venv-peers", help="the venv of client libraries")
    add("--no-install", action="store_true", help="leave out what is not installed")
    parser.set_defaults(new_count=NEW_COUNT)
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    return options


def _measure(number: int, systems: Sequence[System], options: argparse.Namespace) -> list[Sample]:
    """Measure all systems in turns once; a measurement that fails is shown, and left out."""
    load = Load(options.seconds, options.new_count)
    samples: list[Sample] = []
    for group in options.figures:
        for system in systems:
            try:
                figures = MEASURES[group](system, load)
            except (RuntimeError, AssertionError, OSError) as error:
                print(f"{system.name}: {group} failed: {error}", file=sys.stderr, flush=True)
                continue
            sample = Sample(number, system.name, group, figures)
            samples.append(sample)
            print(json.dumps(sample._asdict()), flush=True)
    return samples


def _machine() -> list[str]:
    """Return what the machine is, without its name."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in cpu.splitlines() if "model name" in line]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return [
        f"{os.cpu_count()} processors ({models[0] if models else platform.machine()})",
        f"{pages / 2**30:.0f} GiB of memory",
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
        f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes",
    ]


def main() -> None:
    """Find the systems, measure them, and write what was asked for."""
    options = _options(sys.argv[1:])
    # Servers are stopped as the blocks around them end, also when this process is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if options.render:
        _render(options)
        return
    # The workers inherit it.
    os.environ[ZREG_CLIENT] = options.zreg_client
    systems, left_out = find_all(options.systems, options.venv, may_install=not options.no_install)
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr, flush=True)
    names = [system.name for system in systems]
    command = f"python bench/peers.py {' '.join(sys.argv[1:])}".rstrip()
    samples: list[Sample] = []
    for number in range(1, options.rounds + 1):
        samples += _measure(number, systems, options)
        # After each round, so that a run that is interrupted has its rounds.
        _write(samples, Run(command, _machine(), number, names, left_out), options)


def _write(samples: list[Sample], run: Run, options: argparse.Namespace) -> None:
    if options.json:
        found = {**run._asdict(), "samples": [sample._asdict() for sample in samples]}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.page:
        _write_page(options.page, Samples(samples), run, options.figures)


def _render(options: argparse.Namespace) -> None:
    found = json.loads(options.render.read_text(encoding="utf-8"))
    samples = [Sample(**sample) for sample in found.pop("samples")]
    options.figures = [group for group in MEASURES if group in {s.group for s in samples}]
    options.json = None
    _write(samples, Run(**found), options)


def _write_page(page: Path, samples: Samples, run: Run, figures: Sequence[str]) -> None:
    page.write_text(render_page(samples, run, figures), encoding="utf-8")
    plots = page.with_suffix("")
    plots.mkdir(exist_ok=True)
    for group in GROUPS:
        if group.key in figures:
            plot = render_plot(group, samples, run.systems)
            (plots / f"{group.key}.svg").write_text(plot, encoding="utf-8")


if __name__ == "__main__":
    main()
