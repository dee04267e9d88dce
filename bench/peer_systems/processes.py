"""Worker processes, and what processes use: processor time and memory."""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
END_SECONDS_MAX: Final = 10.0


class WorkerProcess:
    """A worker in a process of its own; commands are sent, and answers taken, one by one."""

    def __init__(self, python: Path, system: str, address: str, lease_seconds: float) -> None:
        paths = f"{ROOT}{os.pathsep}{ROOT / 'bench'}"
        self._process = subprocess.Popen(
            [python, "-m", "peer_systems.worker", system, address, str(lease_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "GRPC_VERBOSITY": "NONE"},
        )
        self.pid = self._process.pid

    def send(self, do: str, **arguments: object) -> None:
        """Send a command, and do not wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:  # noqa: ANN401 -- JSON
        """Wait for the answer to the oldest command; raises `RuntimeError` if it failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with exit code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"a worker failed: {answer['error']}")
        return answer["value"]

    def ask(self, do: str, **arguments: object) -> Any:  # noqa: ANN401 -- JSON
        """Send a command and return its answer."""
        self.send(do, **arguments)
        return self.answer()

    def kill(self) -> None:
        """Kill the process, so that its clients say no goodbye."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def workers(
    count: int, python: Path, system: str, address: str, lease_seconds: float
) -> Iterator[list[WorkerProcess]]:
    """Run so many workers until the block ends."""
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            worker = WorkerProcess(python, system, address, lease_seconds)
            stack.callback(worker.kill)
            started.append(worker)
        yield started


def ask_all(asked: Sequence[WorkerProcess], do: str, **arguments: object) -> list[Any]:
    """Send a command to all workers at once; return their answers."""
    for worker in asked:
        worker.send(do, **arguments)
    return [worker.answer() for worker in asked]


def processor_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of the processes: all threads, also those that ended, in ns steps.

    Linux makes the number of a process clock of its id (CPUCLOCK_SCHED); /proc counts in 10 ms.
    """
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of the processes."""
    pages = (Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1] for pid in pids)
    return sum(map(int, pages)) * _PAGE_BYTES


@contextmanager
def server_process(
    command: Sequence[object], log: Path, environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends; its output goes to the log."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
