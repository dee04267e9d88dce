"""`zreg cluster`: a cluster on loopback, one process per node, until the command ends."""

import asyncio
import itertools
import json
import os
import signal
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from zreg.cli.asking.ask import ask
from zreg.cli.asking.targets import Target
from zreg.cli.exits import CommandFailedError
from zreg.cli.flags import Flags, with_settings
from zreg.cli.options.node_options import CONFIG_FIELDS, as_flags
from zreg.cli.options.settings_sources import load_settings
from zreg.cli.output import announce, complain
from zreg.cli.process.children import START_SECONDS_MAX, Child, ParentPid, end_with_parent
from zreg.cli.process.ports import free_ports
from zreg.cli.process.sd_notify import feed_watchdog, notify
from zreg.cli.process.stop_signals import is_urgent, stop_signals, unblock_stop_signals
from zreg.config import Config
from zreg.effects import Link
from zreg.errors import Error, UsageError
from zreg.model import Status
from zreg.nodes.meta import peers_in_journals
from zreg.wire.records.data_messages import DatumsListed, ListDatums
from zreg.wire.records.membership_messages import FetchMembership, MembershipReply

_POLL_SECONDS: Final = 0.05
_ASK_SECONDS: Final = 2.0
_META_COUNTS: Final = (1, 3, 5)


class Cluster:
    """The child processes of a cluster, one per node."""

    def __init__(
        self, config: Config, directory: Path | None, base_port: int, meta_count: int = 1
    ) -> None:
        self.children: list[Child] = []
        # What `wait_serving` is waiting for.
        self.not_serving_reason = ""
        self._config = config
        self._directory = directory
        self._ports = itertools.count(base_port) if base_port else itertools.repeat(0)
        self._meta_count = meta_count
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    async def start(self, sessions: int, data: int) -> None:
        """Start the meta nodes, then all sessions and data nodes at once."""
        names = [f"meta-{number}" for number in range(1, self._meta_count + 1)]
        peers = self._peers(names)
        metas = [
            self._child("meta", n, *peers, *self._meta_dir_option(name), pub=True)
            for n, name in enumerate(names, start=1)
        ]
        self.children += metas
        await asyncio.gather(*(child.start() for child in metas))
        meta = f"--meta={','.join(child.address for child in metas)}"
        others = [
            self._child("session", n, meta, *self._dir_option(f"session-{n}"))
            for n in range(1, sessions + 1)
        ]
        others += [
            self._child("data", n, meta, *self._dir_option(f"data-{n}"), pub=True)
            for n in range(1, data + 1)
        ]
        self.children += others
        await asyncio.gather(*(child.start() for child in others))

    async def wait_serving(self) -> None:
        """Wait until each session knows all nodes and is connected to each data node."""
        for child in self.children:
            if child.role != "session":
                continue
            while (reason := await self._not_serving(child.address)) is not None:
                self.not_serving_reason = reason
                await asyncio.sleep(_POLL_SECONDS)

    async def wait_any_end(self) -> None:
        """Report each node that ends by itself; return when no node is left."""
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
        """Kill all nodes, which then cannot say goodbye."""
        for child in self.children:
            child.kill()

    def _peers(self, names: list[str]) -> list[str]:
        """Return the --peer options of meta nodes, which name each other before any port is bound.

        Nodes that have journals expect each other at the addresses of their last run.
        """
        known = {}
        if self._directory is not None:
            known = peers_in_journals(self._directory / name for name in names)
        if set(known) - set(names):
            raise UsageError(
                f"{self._directory} holds the journals of {', '.join(sorted(known))}: start "
                f"{len(known)} meta nodes with --meta {len(known)}, or name another --dir"
            )
        if len(names) == 1:
            return []
        given = [next(self._ports) for _ in names]
        ports = given if all(given) else free_ports(len(names))
        fresh = {name: f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        return [f"--peer={name}={known.get(name, at)}" for name, at in fresh.items()]

    def _meta_dir_option(self, name: str) -> list[str]:
        """Return the --dir option of a meta node: without a directory given, a temporary one."""
        if self._directory is not None:
            return self._dir_option(name)
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="zreg-")
        return [f"--dir={Path(self._temporary.name) / name}"]

    def _dir_option(self, name: str) -> list[str]:
        """Return the --dir option of a node, if the cluster has a directory."""
        return [] if self._directory is None else [f"--dir={self._directory / name}"]

    def _child(self, role: str, number: int, *more: str, pub: bool = False) -> Child:
        ports = [f"--port={next(self._ports)}"]
        if pub:
            ports.append(f"--pub-port={next(self._ports)}")
        ports.append(f"--http-port={next(self._ports)}")
        arguments = ["--host=127.0.0.1", *ports, *more, *as_flags(self._config, role)]
        return Child(role, f"{role}-{number}", arguments, self._directory)

    async def _not_serving(self, address: str) -> str | None:
        """Return why a session does not serve the whole cluster yet; None if it does."""
        target = Target(Link.SESSION, (f"tcp://{address}",), self._config.cluster)
        membership = FetchMembership, MembershipReply
        datums = partial(ListDatums, pattern="*", limit=1), DatumsListed
        try:
            reply = await ask(target, membership, timeout_seconds=_ASK_SECONDS)
            members = reply.membership.members
            working = {m.node_id for m in members if m.status is Status.WORKING}
            if missing := [c.node_id for c in self.children if c.node_id not in working]:
                return f"the session at {address} does not know {', '.join(missing)}"
            # A session refuses this until it is connected to every data node.
            await ask(target, datums, timeout_seconds=_ASK_SECONDS)
        except Error as error:
            return str(error)
        return None


@with_settings(*(name for name in CONFIG_FIELDS if name != "meta_addresses"))
def cluster(  # noqa: PLR0913 -- one argument per option
    *,
    flags: Flags,
    meta: Annotated[int, typer.Option(min=1, max=100, help="Meta nodes: 1, 3 or 5.")] = 1,
    session: Annotated[int, typer.Option(min=1, max=100, help="Session nodes.")] = 1,
    data: Annotated[int, typer.Option(min=1, max=100, help="Data nodes.")] = 1,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Where each node has its log and a directory; without it nodes log to stderr.",
        ),
    ] = None,
    base_port: Annotated[
        int,
        typer.Option(
            min=0, max=65000, help="First port, counted up from node to node; 0: any free ports."
        ),
    ] = 0,
    is_json: Annotated[
        bool,
        typer.Option("--json", help="Write a JSON line per node, and one when the cluster serves."),
    ] = False,
    parent_pid: ParentPid = 0,
) -> None:
    """Run a cluster on this machine, one process per node, until Ctrl-C."""
    if parent_pid:
        end_with_parent(parent_pid)
    if meta not in _META_COUNTS:
        raise UsageError(
            f"--meta {meta} cannot be used: run 1, 3 or 5 meta nodes (an even number tolerates no "
            "more failures than one node less)"
        )
    config = load_settings(flags, os.environ, base=Config.for_loopback()).config
    if directory is not None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--dir {directory} cannot be used ({error.strerror}): name another directory"
            ) from error
    asyncio.run(_run(Cluster(config, directory, base_port, meta), session, data, is_json=is_json))


async def _run(cluster: Cluster, sessions: int, data: int, *, is_json: bool) -> None:
    """Run the cluster until a signal comes or no node is left."""
    stop = _stop_on_signals(cluster)
    life = asyncio.create_task(_live(cluster, sessions, data, is_json=is_json))
    stopping = asyncio.create_task(stop.wait())
    watchdog = asyncio.create_task(feed_watchdog())
    try:
        await asyncio.wait([life, stopping], return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        notify("STOPPING=1")
        life.cancel()
        stopping.cancel()
        await asyncio.gather(life, stopping, return_exceptions=True)
        await cluster.end()
        watchdog.cancel()


def _stop_on_signals(cluster: Cluster) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set() and is_urgent(number):
            # A second signal: do not wait for the nodes to say goodbye.
            cluster.kill()
            os._exit(128 + number)
        stop.set()

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    unblock_stop_signals()
    return stop


async def _live(cluster: Cluster, sessions: int, data: int, *, is_json: bool) -> None:
    await cluster.start(sessions, data)
    if is_json:
        lines = [json.dumps(msgspec.to_builtins(child.line)) for child in cluster.children]
        announce(lines, is_for_programs=True)
    ends = asyncio.create_task(cluster.wait_any_end())
    ready = asyncio.create_task(cluster.wait_serving())
    try:
        await asyncio.wait(
            [ends, ready], timeout=START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
        )
        if not ready.done():
            raise CommandFailedError(
                f"the cluster does not serve after {START_SECONDS_MAX:g} s "
                f"({cluster.not_serving_reason}): read the logs of its nodes, in the --dir or above"
            )
        notify("READY=1")
        _say_ready(cluster.children, is_json=is_json)
        await ends
        raise CommandFailedError(
            "all nodes have ended: read their logs, then start the cluster again"
        )
    finally:
        ends.cancel()
        ready.cancel()
        await asyncio.gather(ends, ready, return_exceptions=True)


def _say_ready(children: Sequence[Child], *, is_json: bool) -> None:
    sessions = [child.address for child in children if child.role == "session"]
    url = f"zreg://{','.join(sessions)}"
    if is_json:
        announce([json.dumps({"ready": True, "url": url})], is_for_programs=True)
        return
    from zreg.cli.showing.tables import table_text  # noqa: PLC0415 -- JSON needs no rich

    lines = [child.line for child in children if child.line is not None]
    table = table_text(
        ["role", "node id", "pid", "address", "http"],
        [[n.role, n.node_id, str(n.pid), n.address, n.http or "-"] for n in lines],
    )
    ready = f"The cluster is ready at {url}; Ctrl-C ends it. Try: zreg nodes --url {url}"
    announce([table, ready], is_for_programs=False)
