"""The floor under a commit in zreg's reactors: sockets, codec and journal, but no Raft.

This is `floor_commit.py` with a `Reactor` in each process and a core that only saves and answers.
So the difference between this and `commits.py` is Raft, membership and settings.

    python bench/floor_reactor.py --rounds 10 --seconds 0.5
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import zmq
from commits import Drive, Proposers, measure
from floor import line_of, process_of

from zreg.effects import Connect, Effect, Link, Local, Peer, PeerUp, Save, Send
from zreg.reactor import LinkTable, Reactor
from zreg.storage.journal import Journal
from zreg.wire.messages import Message
from zreg.wire.records.raft_messages import AppendEntries, AppendEntriesReply, Entry, EntryKind
from zreg.wire.records.settings_messages import SetSetting, SettingsReply

LIFE_SECONDS: Final = 120.0
ANY_PORT: Final = "tcp://127.0.0.1:0"


class Core:
    """A core that saves each record and decides nothing."""

    epoch = 0

    def __init__(self) -> None:
        self.count = 0

    def start(self, now: float) -> Sequence[Effect]:  # noqa: ARG002 -- as all cores
        """Return no effects."""
        return ()

    def tick(self, now: float) -> Sequence[Effect]:  # noqa: ARG002
        """Return no effects."""
        return ()

    def settle(self, now: float) -> Sequence[Effect]:  # noqa: ARG002
        """Return no effects."""
        return ()

    def next_tick_at(self) -> float | None:
        """Return None: this core has no timers."""
        return None

    def statistics(self) -> dict[str, int | float | str]:
        """Return no figures."""
        return {}

    def save(self, data: bytes) -> Save:
        """Return the save of one more entry."""
        self.count += 1
        entry = Entry(self.count, 1, EntryKind.COMMAND, data)
        return Save(
            snapshot=None, truncate_from=None, compact_to=None, entries=(entry,), term=1, vote="l"
        )


class Follower(Core):
    """Saves each entry of the leader, then answers."""

    def receive(
        self,
        link: Link,
        peer: Peer,
        message: Message | Local,
        now: float,  # noqa: ARG002
    ) -> Sequence[Effect]:
        """Take a request of the leader."""
        if not isinstance(message, AppendEntries):
            return ()
        reply = AppendEntriesReply(
            sender="f", receiver="l", term=1, sequence=message.sequence,
            is_success=True, match_index=0, hint_index=0, hint_term=0,
        )  # fmt: skip
        return self.save(message.entries[0].data), Send(link, peer, reply)


class Leader(Core):
    """Has all three nodes save each write, and answers when two of them have."""

    def __init__(self, followers: Sequence[str]) -> None:
        super().__init__()
        self._followers = {f"f{number}": address for number, address in enumerate(followers)}
        # The client whose write is under way, and its request id.
        self._client: tuple[Peer, int] | None = None
        self.has_followers = asyncio.Event()
        self._missing_count = len(followers)

    def start(self, now: float) -> Sequence[Effect]:  # noqa: ARG002
        """Connect to the followers."""
        return [Connect(Link.RAFT_ASK, name, at) for name, at in self._followers.items()]

    def receive(
        self,
        link: Link,
        peer: Peer,
        message: Message | Local,
        now: float,  # noqa: ARG002
    ) -> Sequence[Effect]:
        """Take a write, or a follower's answer."""
        if isinstance(message, SetSetting):
            self._client = peer, message.request_id
            save = self.save(str(message.value).encode())
            return [*(Send(Link.RAFT_ASK, f, self._ask(f, save)) for f in self._followers), save]
        if isinstance(message, PeerUp):
            self._missing_count -= 1
            if not self._missing_count:
                self.has_followers.set()
        is_answer = isinstance(message, AppendEntriesReply) and message.sequence == self.count
        if link is not Link.RAFT_ASK or not is_answer or self._client is None:
            return ()
        (client, request_id), self._client = self._client, None
        return [Send(Link.NODES, client, SettingsReply(request_id, ()))]

    def _ask(self, follower: str, save: Save) -> AppendEntries:
        count = self.count
        return AppendEntries(
            sender="l", receiver=follower, term=1, sequence=count,
            prev_index=count - 1, prev_term=1, commit_index=count - 1, entries=save.entries,
        )  # fmt: skip


async def serve(core: Follower | Leader, links: LinkTable, place: Path) -> None:
    """Run one process; it prints its address, a leader once all followers are connected."""
    reactor = Reactor(core, "zreg", links, disk=Journal(place, identity={}))
    running = asyncio.create_task(reactor.run())
    if isinstance(core, Leader):
        await core.has_followers.wait()
    print(next(iter(reactor.addresses.values())), flush=True)
    await running


@contextmanager
def reactors(proposers: int) -> Iterator[Drive]:
    """Run the three processes; yield a function that writes to them, one write at a time."""
    assert proposers == 1
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        places = [f"{directory}/{name}" for name in ("one", "two", "leader")]
        followers = [
            line_of(stack.enter_context(process_of(__file__, "follower", LIFE_SECONDS, place)))
            for place in places[:2]
        ]
        leader = process_of(__file__, "leader", LIFE_SECONDS, places[2], *followers)
        address = line_of(stack.enter_context(leader))
        context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())
        connection = stack.enter_context(context.socket(zmq.DEALER))
        connection.linger = 0
        connection.connect(address)
        yield Proposers(connection, 1).run


def main() -> None:
    """Run the floor and print its result as JSON; with `--role`, run one process of it."""
    parser = argparse.ArgumentParser(description="Measure the reactors' floor under a commit.")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a burst")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--life", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.role:
        (found,) = measure([reactors], options.rounds, options.seconds, 1)
        print(json.dumps(found._asdict()))
    elif options.role == "follower":
        links = LinkTable(answers={Link.RAFT_ANSWER: ANY_PORT})
        asyncio.run(serve(Follower(), links, Path(options.rest[0])))
    else:
        links = LinkTable(routers={Link.NODES: ANY_PORT}, asks=(Link.RAFT_ASK,))
        place, *followers = options.rest
        asyncio.run(serve(Leader(followers), links, Path(place)))


if __name__ == "__main__":
    main()
