"""Scripts of small Raft clusters: each command is followed by the messages that it causes.

A script is a file in tests/unit/scripts. Lines that begin with `> ` are commands, the others are
the exact trace. With ZREG_REWRITE_SCRIPTS=1 in the environment this test rewrites the traces; read
the diff before you commit it.
"""

import os
from pathlib import Path

import pytest
from raft_helpers import Cluster

from zreg.wire.records.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    InstallSnapshot,
    InstallSnapshotReply,
    RaftMessage,
    RequestVote,
    RequestVoteReply,
    TransferLeader,
    TransferLeaderReply,
)

SCRIPTS = Path(__file__).parents[1] / "scripts"


def show_entries(entries: tuple[Entry, ...]) -> str:
    return " ".join(f"{entry.index}/{entry.term}:{entry.kind.name.lower()}" for entry in entries)


def show_request(message: RaftMessage) -> str:
    match message:
        case RequestVote(is_pre_vote=is_pre_vote, last_index=index, last_term=term):
            return f"{'pre-vote' if is_pre_vote else 'vote'} last={index}/{term}"
        case AppendEntries(prev_index=index, prev_term=term, commit_index=commit, entries=entries):
            return f"append prev={index}/{term} commit={commit} [{show_entries(entries)}]"
        case InstallSnapshot(snapshot_index=index, snapshot_term=term, offset=offset, data=data):
            return f"snapshot {index}/{term} bytes {offset} to {offset + len(data)}"
        case TransferLeader():
            return "take over"
        case _:
            return show_reply(message)


def show_reply(message: RaftMessage) -> str:
    match message:
        case RequestVoteReply(is_granted=is_granted):
            return "granted" if is_granted else "denied"
        case AppendEntriesReply(is_success=True, match_index=index):
            return f"matches {index}"
        case AppendEntriesReply(hint_index=index, hint_term=term):
            return f"refused, try {index}/{term}"
        case InstallSnapshotReply(next_offset=offset, match_index=index):
            return f"next {offset} matches {index}"
        case TransferLeaderReply(is_accepted=is_accepted):
            return f"accepted {is_accepted}"
        case _:
            raise AssertionError(message)


class Player:
    """Carries out commands on one cluster, and records the messages."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.lines: list[str] = []

    def play(self, command: str) -> list[str]:
        verb, *words = command.split()
        self.lines = []
        getattr(self, f"do_{verb}")(*words)
        return self.lines

    def do_cluster(self, count: str, *limits: str) -> None:
        voters = [f"n{number}" for number in range(1, int(count) + 1)]
        pairs = (limit.split("=") for limit in limits)
        self.cluster = Cluster(voters, spares=("n9",), **{name: int(each) for name, each in pairs})

    def do_campaign(self, node_id: str) -> None:
        before = len(self.cluster.mail)
        while len(self.cluster.mail) == before:
            self.cluster.tick(node_id)

    def do_tick(self, node_id: str, count: str = "1") -> None:
        self.cluster.tick(node_id, count=int(count))

    def do_propose(self, node_id: str, value: str) -> None:
        self.cluster.propose(node_id, int(value))

    def do_elect(self, node_id: str) -> None:
        self.cluster.elect(node_id)

    def do_deliver(self) -> None:
        for _ in range(100):
            batch, self.cluster.mail[:] = list(self.cluster.mail), []
            for message in batch:
                if not self.cluster._cut.get((message.sender, message.receiver)):
                    who = f"{message.sender}>{message.receiver} t{message.term}"
                    self.lines.append(f"{who} {show_request(message)}")
                    self.cluster.give(message)

    def do_isolate(self, *node_ids: str) -> None:
        self.cluster.isolate(*node_ids)

    def do_heal(self) -> None:
        self.cluster.heal()

    def do_crash(self, node_id: str) -> None:
        self.cluster.crash(node_id)

    def do_start(self, node_id: str) -> None:
        self.cluster.start(node_id)

    def do_transfer(self, node_id: str, target: str) -> None:
        self.cluster.do(node_id, lambda core: core.transfer_leader(target))

    def do_add(self, node_id: str, learner: str) -> None:
        self.cluster.do(
            node_id,
            lambda core: core.change_configuration(core.configuration.with_learner(learner, "x")),
        )

    def do_promote(self, node_id: str, learner: str) -> None:
        self.cluster.do(
            node_id, lambda core: core.change_configuration(core.configuration.with_voter(learner))
        )

    def do_remove(self, node_id: str, member: str) -> None:
        self.cluster.do(
            node_id, lambda core: core.change_configuration(core.configuration.without(member))
        )

    def do_status(self) -> None:
        for node in self.cluster.nodes.values():
            if node.core is None:
                self.lines.append(f"{node.node_id} is down")
                continue
            log = node.core.log
            self.lines.append(
                f"{node.node_id} {node.core.role.value} t{node.core.term} commit={log.commit_index}"
                f" log={log.anchor_index}..{log.last_index} a={node.machine.values.get('a')}"
                f" voters={','.join(node.core.configuration.voters)}"
            )


def play(text: str) -> str:
    player, lines = Player(), []
    for line in text.splitlines():
        if line.startswith("> "):
            lines.append(line)
            lines += [f"  {line_}" for line_ in player.play(line[2:])]
        elif line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_script_gives_its_trace(path: Path) -> None:
    expected = path.read_text()
    trace = play(expected)
    if os.environ.get("ZREG_REWRITE_SCRIPTS"):
        path.write_text(trace)
    else:
        assert trace == expected


def test_there_are_scripts() -> None:
    assert len(list(SCRIPTS.glob("*.txt"))) >= 6
