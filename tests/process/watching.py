"""Subscribers that remember every change, publishers, and workers in processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path

import zreg
from zreg.testing.processes.with_block import WithBlock

_WORKERS = str(Path(__file__).with_name("workers.py"))


class Watcher(WithBlock):
    """Subscribes to an id; remembers its present values, all removals and what callbacks saw."""

    def __init__(self, url: str, data_id: str) -> None:
        self.client = zreg.Client(url)
        self.removed: list[str] = []
        # The values that each callback was given.
        self.told: list[set[str]] = []
        self.subscription = self.client.subscribe(data_id)
        self.subscription(self._on_change)
        self.subscription.wait_for(min_count=0, timeout_seconds=30)

    def _on_change(self, change: zreg.ViewChange) -> None:
        self.removed += [str(publisher.values[0]) for publisher in change.removed]
        self.told.append({str(value) for value in change.view.values})

    @property
    def values(self) -> set[str]:
        """The values that are published now."""
        return {str(value) for value in self.subscription.view.values}

    def close(self) -> None:
        self.client.close()


class Publishers(WithBlock):
    """Clients that publish one value each under one id, for as long as they live."""

    def __init__(self, url: str, data_id: str, count: int) -> None:
        self.clients = [zreg.Client(url) for _ in range(count)]
        self.publications = [
            client.publish(data_id, f"value-{number}") for number, client in enumerate(self.clients)
        ]
        for publication in self.publications:
            publication.wait_registered(timeout_seconds=30)
        self.values = {f"value-{number}" for number in range(count)}

    @property
    def are_registered(self) -> bool:
        """Whether a session that their clients reach has all of them accepted."""
        return all(
            client.state is zreg.ClientState.CONNECTED and publication.is_registered
            for client, publication in zip(self.clients, self.publications, strict=True)
        )

    @property
    def have_lost_their_session(self) -> bool:
        """Whether no client is connected."""
        return all(client.state is zreg.ClientState.SUSPENDED for client in self.clients)

    def dial_counts(self) -> list[int]:
        """Return how often each client has dialled a session."""
        return [int(client.statistics()["dials"]) for client in self.clients]

    def close(self) -> None:
        for client in self.clients:
            client.close()


class Worker(WithBlock):
    """A process of `workers.py`; it is ready when the constructor returns."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, _WORKERS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", f"the worker did not get ready: {line!r}"

    def ask(self) -> str:
        """Write a line to the process, and return the line that it answers."""
        assert self.process.stdout is not None
        self.write_line()
        return self.process.stdout.readline()

    def write_line(self) -> None:
        """Write a line to the process, which answers nothing."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill the process, so that its client says no goodbye."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Freeze the process."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Continue the frozen process."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process.poll() is None:
            self.cont()
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
