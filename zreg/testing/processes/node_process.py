"""One node in a process of its own: its signals, its command line, and the health it reports."""

import contextlib
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import msgspec

# Options that belong to one process, and not to the node that a later process continues.
_PROCESS_OPTIONS: Final = ("--id=", "--parent-pid=")


class ReportedProblem(msgspec.Struct, frozen=True):
    """One problem that a node reports over HTTP."""

    code: str
    detail: str


class ReportedHealth(msgspec.Struct, frozen=True):
    """The health that a node reports over HTTP."""

    http_status: int
    status: str
    ready: bool
    role: str
    node_id: str
    problems: list[ReportedProblem]

    @property
    def codes(self) -> list[str]:
        """The codes of its problems, in order."""
        return [problem.code for problem in self.problems]


class NodeProcess(msgspec.Struct):
    """A node: the line that it wrote when it was bound, and the arguments of its process."""

    role: str
    node_id: str
    pid: int
    address: str
    http: str | None = None
    arguments: list[str] = []

    def signal(self, number: int) -> None:
        """Send a signal, if the process still exists."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; a stopped one does."""
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] != "Z"

    def http_url(self, path: str = "/") -> str:
        """Return the URL of a page that the node serves."""
        return f"http://{self.http}{path}"

    def health(self, path: str = "/healthz") -> ReportedHealth:
        """Return the health that the node reports at `/healthz`, `/readyz` or `/v1/status`."""
        try:
            with urllib.request.urlopen(self.http_url(path), timeout=5.0) as response:  # noqa: S310 -- http, as above
                http_status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                http_status, body = error.code, error.read()
        return msgspec.convert({**json.loads(body), "http_status": http_status}, ReportedHealth)


def options_of(pid: int) -> list[str]:
    """Return the options of a process, without those that belong to that process alone."""
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    options = (word for word in words if word.startswith("--"))
    return [option for option in options if not option.startswith(_PROCESS_OPTIONS)]
