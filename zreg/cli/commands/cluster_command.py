"""`zreg cluster`: one process a node, on loopback, for as long as this command runs."""

import asyncio
import itertools
import os
import signal
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from zreg.cli.ask import ask
from zreg.cli.exits import CommandFailedError
from zreg.cli.flags import Flags, with_settings
from zreg.cli.output import complain, print_table, say, say_json
from zreg.cli.process.children import START_SECONDS_MAX, Child, ParentPid, end_with_parent
from zreg.cli.process.node_options import CONFIG_FIELDS, as_flags, load
from zreg.cli.process.ports import free_ports
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import Error, UsageError
from zreg.model import Status
from zreg.nodes.meta import peers_in_journals
from zreg.wire.data_messages import DatumsListed, ListDatums
from zreg.wire.membership_messages import FetchMembership, MembershipReply

_LOOK_SECONDS: Final = 0.05
_ASK_SECONDS: Final = 2.0
_META_COUNTS: Final = (1, 3, 5)

Count = Annotated[int, typer.Option(min=1, max=100)]


class Cluster:
    """All child processes, and what is known of them."""

    def __init__(
        self, config: Config, directory: Path | None, base_port: int, meta_count: int = 1
    ) -> None:
        self.why_waiting = ""
        self._config = config
        self._directory = directory
        self._ports = itertools.count(base_port) if base_port else itertools.repeat(0)
        self.children: list[Child] = []
        self._meta_count = meta_count
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    async def start(self, sessions: int, data: int) -> None:
        """Start meta, then all others at once."""
        names = [f"meta-{number}" for number in range(1, self._meta_count + 1)]
        peers = self._peers(names)
        metas = [
            self._child("meta", n, *peers, *self._journal(name), pub=True)
            for n, name in enumerate(names, start=1)
        ]
        self.children += metas
        await asyncio.gather(*(child.start() for child in metas))
        joins = f"--meta={','.join(child.address for child in metas)}"
        others = [
            self._child("session", n, joins, *self._kept(f"session-{n}"))
            for n in range(1, sessions + 1)
        ]
        others += [
            self._child("data", n, joins, *self._kept(f"data-{n}"), pub=True)
            for n in range(1, data + 1)
        ]
        self.children += others
        await asyncio.gather(*(child.start() for child in others))

    async def wait_serving(self) -> None:
        """Wait until each session knows all nodes and has a connection to each data node."""
        for child in self.children:
            if child.role != "session":
                continue
            while (why := await self._why_not_serving(child.address)) is not None:
                await asyncio.sleep(_LOOK_SECONDS)
                self.why_waiting = why

    async def wait_any_end(self) -> None:
        """Report each node that ends by itself; return when none is left."""
        ends = [asyncio.create_task(child.ended()) for child in self.children]
        try:
            for end in asyncio.as_completed(ends):
                complain(await end)
        finally:
            for task in ends:
                task.cancel()

    async def end(self) -> None:
        """End all nodes."""
        await asyncio.gather(*(child.end() for child in self.children))
        if self._temporary is not None:
            self._temporary.cleanup()

    def kill(self) -> None:
        """End all nodes at once, without goodbyes."""
        for child in self.children:
            child.kill()

    def _peers(self, names: list[str]) -> list[str]:
        """Return what meta nodes are told of each other, which is before any of them is bound.

        Journals know each other at the addresses of their last run.
        """
        known = {}
        if self._directory is not None:
            known = peers_in_journals(self._directory / name for name in names)
        if set(known) - set(names):
            raise UsageError(
                f"{self._directory} holds the journals of {', '.join(sorted(known))}: run "
                f"--meta {len(known)}, or name another --dir"
            )
        if len(names) == 1:
            return []
        given = [next(self._ports) for _ in names]
        ports = given if all(given) else free_ports(len(names))
        fresh = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        return [f"--peer={name}={known.get(name, at)}" for name, at in fresh.items()]

    def _journal(self, name: str) -> list[str]:
        """Return where a meta node keeps its journal: without --dir in a temporary directory."""
        if self._directory is not None:
            return self._kept(name)
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="zreg-")
        return [f"--dir={Path(self._temporary.name) / name}"]

    def _kept(self, name: str) -> list[str]:
        """Return where a node keeps what its next process starts from; without a place nothing."""
        return [] if self._directory is None else [f"--dir={self._directory / name}"]

    def _child(self, role: str, number: int, *more: str, pub: bool = False) -> Child:
        ports = [f"--port={next(self._ports)}"]
        if pub:
            ports.append(f"--pub-port={next(self._ports)}")
        ports.append(f"--http-port={next(self._ports)}")
        arguments = ["--host=127.0.0.1", *ports, *more, *as_flags(self._config)]
        return Child(role, f"{role}-{number}", arguments, self._directory)

    async def _why_not_serving(self, address: str) -> str | None:
        """Ask a session itself; return what is missing."""
        where = (Link.SESSION, [f"tcp://{address}"])
        try:
            reply = await ask(
                *where,
                (FetchMembership, MembershipReply),
                config=self._config,
                timeout_seconds=_ASK_SECONDS,
            )
            members = reply.membership.members
            joined = {m.node_id for m in members if m.status is Status.WORKING}
            if missing := [c.node_id for c in self.children if c.node_id not in joined]:
                return f"{address} does not know {', '.join(missing)}"
            # Refused while any data node is not connected.
            await ask(
                *where,
                (partial(ListDatums, pattern="*", limit=1), DatumsListed),
                config=self._config,
                timeout_seconds=_ASK_SECONDS,
            )
        except Error as error:
            return str(error)
        return None


@with_settings(*(name for name in CONFIG_FIELDS if name != "meta_addresses"))
def cluster(  # noqa: PLR0913 -- one argument per option
    *,
    flags: Flags,
    meta: Count = 1,
    session: Count = 1,
    data: Count = 1,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", help="Where each node keeps its log and a directory; without it: stderr, none."
        ),
    ] = None,
    base_port: Annotated[
        int, typer.Option(min=0, max=65000, help="First port, counted up; 0: any free ones.")
    ] = 0,
    is_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per node, then one that all is ready.")
    ] = False,
    parent_pid: ParentPid = 0,
) -> None:
    """Run a cluster on this machine, each node in a process of its own, until Ctrl-C."""
    if parent_pid:
        end_with_parent(parent_pid)
    if meta not in _META_COUNTS:
        raise UsageError(f"--meta {meta}: run 1, 3 or 5 meta nodes; of two, none may fail")
    config = load(flags, os.environ, base=Config.for_loopback()).config
    if directory is not None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--dir {directory} cannot be used: {error.strerror}; name another"
            ) from error
    asyncio.run(_run(Cluster(config, directory, base_port, meta), session, data, is_json=is_json))


async def _run(cluster: Cluster, sessions: int, data: int, *, is_json: bool) -> None:
    """Start, tell, and wait for the end, whoever brings it."""
    stop = _stop_on_signals(cluster)
    life = asyncio.create_task(_live(cluster, sessions, data, is_json=is_json))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([life, stopping], return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        life.cancel()
        stopping.cancel()
        await asyncio.gather(life, stopping, return_exceptions=True)
        await cluster.end()


def _stop_on_signals(cluster: Cluster) -> asyncio.Event:
    stop = asyncio.Event()

    def take(number: signal.Signals) -> None:
        if stop.is_set():
            cluster.kill()
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, take, number)
    return stop


async def _live(cluster: Cluster, sessions: int, data: int, *, is_json: bool) -> None:
    await cluster.start(sessions, data)
    if is_json:
        for child in cluster.children:
            say_json(msgspec.to_builtins(child.line))
    ends = asyncio.create_task(cluster.wait_any_end())
    ready = asyncio.create_task(cluster.wait_serving())
    try:
        await asyncio.wait([ends, ready], timeout=START_SECONDS_MAX,
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        if not ready.done():
            raise CommandFailedError(
                f"the cluster does not serve after {START_SECONDS_MAX:g} s "
                f"({cluster.why_waiting}): look at what its nodes say (--dir)"
            )
        _tell_ready(cluster.children, is_json=is_json)
        await ends
        raise CommandFailedError("all nodes have ended: start the cluster again")
    finally:
        ends.cancel()
        ready.cancel()
        await asyncio.gather(ends, ready, return_exceptions=True)


def _tell_ready(children: Sequence[Child], *, is_json: bool) -> None:
    if is_json:
        say_json({"ready": True})
        return
    lines = [child.line for child in children if child.line is not None]
    print_table(
        ["role", "node id", "pid", "address", "http"],
        [[n.role, n.node_id, str(n.pid), n.address, n.http or "-"] for n in lines],
    )
    url = ",".join(line.address for line in lines if line.role == "session")
    say(f"The cluster is ready at zreg://{url}; Ctrl-C ends it. Try: zreg nodes --url zreg://{url}")
