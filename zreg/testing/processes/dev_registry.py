"""A whole registry in one real process, as `zreg dev` runs it, on two free ports."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Final

from zreg.cli.process.ports import free_ports
from zreg.testing.processes.running_command import (
    END_SECONDS_MAX,
    LineReader,
    clean_environment,
    zreg_command,
)
from zreg.testing.processes.with_block import WithBlock


class DevRegistry(WithBlock):
    """A registry that runs until its `with` block ends, or `stop` is called.

    On Linux its process also ends with the thread that started it, however that ends.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        # A file and not a pipe: a process that logs much never waits for its reader.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 -- closed in `close`
        # Outside the range of the kernel, which could give them away while the registry is stopped.
        port, http_port = free_ports(2)
        self._options: Final = (f"--port={port}", f"--http-port={http_port}", *options)
        self._process: subprocess.Popen[str] | None = None
        self._reader: LineReader | None = None
        self.url = ""
        """The url for clients; it stays the same after `restart`."""
        self.http_url = ""
        """The url of its HTTP, as `http://127.0.0.1:10503`, the same after `restart`; "" if off."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the process has written to its log: warnings and errors."""
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> None:
        """End the process in good order, if it runs; clients become SUSPENDED."""
        process, reader = self._process, self._reader
        self._process = self._reader = None
        if process is None or reader is None:
            return
        process.terminate()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.close()

    def restart(self) -> None:
        """Stop it, and start it at the same urls.

        The new process is a new cluster, which has nothing before its clients replay: views begin
        anew. `RunningCluster` kills and restarts the nodes of a cluster that goes on.
        """
        self.stop()
        self._start()

    def close(self) -> None:
        """End the process, and drop its log."""
        self.stop()
        self._log.close()

    def _start(self) -> None:
        arguments = ("-o", "json", f"--parent-pid={os.getpid()}")
        self._process = subprocess.Popen(  # noqa: S603 -- zreg itself
            zreg_command("dev", *arguments, *self._options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=clean_environment(),
        )
        assert self._process.stdout is not None
        self._reader = reader = LineReader(self._process.stdout)
        while line := reader.next():
            record = json.loads(line)
            if record.get("role") == "session" and record["http"]:
                self.http_url = f"http://{record['http']}"
            if record.get("ready"):
                self.url = record["url"]
                return
        raise AssertionError(f"zreg dev ended with exit code {self._process.wait()}\n{self.log}")

    def __repr__(self) -> str:
        """Show url and state."""
        return f"<DevRegistry {self.url} {'running' if self.is_running else 'stopped'}>"
