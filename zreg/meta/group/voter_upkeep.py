"""The changes of Raft's configuration that follow from an earlier one.

The leader looks for them with every tick, so they survive the loss of any leader: the journals of
the founders, the vote of a learner that has caught up, and journals and addresses as the nodes tell
them.
"""

from contextlib import suppress
from typing import NamedTuple

from zreg.effects import INFO, Log
from zreg.meta.group.raft_driver import RaftDriver
from zreg.raft.configuration import Configuration
from zreg.raft.errors import RaftError
from zreg.raft.leader.progress import CatchUpState


class _Change(NamedTuple):
    """The next change of the configuration, and what is logged when it is applied."""

    configuration: Configuration
    log: Log


class VoterUpkeep:
    """Keeps Raft's configuration up to date with what the meta nodes say of themselves."""

    def __init__(self, raft_driver: RaftDriver, node_id: str) -> None:
        self._raft_driver = raft_driver
        self._introductions = raft_driver.peers.introductions
        self._node_id = node_id

    def name_founders(self) -> None:
        """As the first leader, propose the journals of all founders, once all of them are known."""
        bootstrap = self._introductions.bootstrap
        journals = bootstrap.journals_to_name()
        if not journals or bootstrap.unmet_voters():
            return
        new = self._raft_driver.raft.configuration
        for node_id, journal_id in journals.items():
            new = new.with_journal(node_id, journal_id)
        logs = [
            Log(INFO, "raft.member.known", {"node_id": each, "address": new.addresses[each]})
            for each in journals
        ]
        # An error means that this node hands over: the next leader names the founders.
        with suppress(RaftError):
            self._raft_driver.requests.change_configuration(new, lambda _applied, _now: logs)

    def tick(self) -> None:
        """As the leader, propose the next change that is due."""
        if not self._raft_driver.raft.is_configuration_committed:
            return
        change = self._next_change()
        if change is None:
            return
        new, log = change
        # An error means that this node hands over, or has committed nothing in its term yet.
        with suppress(RaftError):
            self._raft_driver.requests.change_configuration(new, lambda _applied, _now: [log])

    def _next_change(self) -> _Change | None:
        for node_id in self._raft_driver.raft.configuration.members:
            change = self._change_of(node_id)
            if change is not None:
                return change
        return None

    def _change_of(self, node_id: str) -> _Change | None:
        """Return the change that is due for one node."""
        configuration = self._raft_driver.raft.configuration
        is_me = node_id == self._node_id
        accepted = self._introductions.accepted.get(node_id)
        them = self._introductions.identity if is_me else accepted
        if them is None:
            return None
        fields: dict[str, str | int | float] = {"node_id": node_id, "address": them.address}
        journal_id = configuration.journals.get(node_id)
        if journal_id is None and them.journal_id:
            new = configuration.with_journal(node_id, them.journal_id)
            return _Change(new, Log(INFO, "raft.member.known", fields))
        # The address of another node is a mistake in the settings: it would not be found there.
        is_moved = bool(them.address) and node_at(configuration, them.address) is None
        if is_moved and journal_id == them.journal_id:
            new = configuration.with_address(node_id, them.address)
            return _Change(new, Log(INFO, "raft.member.moved", fields))
        is_ready = self._raft_driver.raft.catch_up_state(node_id) is CatchUpState.READY
        if node_id in configuration.learners and is_ready and journal_id is not None:
            new = configuration.with_voter(node_id)
            return _Change(new, Log(INFO, "raft.member.votes", fields))
        return None


def node_at(configuration: Configuration, address: str) -> str | None:
    """Return the node of a configuration that has an address."""
    return next((each for each, at in configuration.addresses.items() if at == address), None)
