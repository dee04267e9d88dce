"""The members of the Raft cluster, their history along the log, and which changes are safe.

A configuration is in force from the moment its entry is appended, committed or not, and is rolled
back when that entry is truncated (Ongaro's thesis, §4.1). Members change one at a time, so any
majority of the old and any majority of the new configuration share a voter. That alone is not
enough: a new leader must first commit an entry of its own term (Ongaro, raft-dev, 2015), or two
uncommitted changes on both sides of a partition may have disjoint majorities.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.raft.errors import ConfigurationError

VOTER_COUNT_MAX: Final = 7
_VOTER: Final = "voter"
_LEARNER: Final = "learner"


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """The members of the Raft cluster: sorted ids of voters and learners, an address for each.

    `journals` holds, where known, the id of the journal on which a member keeps its votes. A member
    that comes with another journal has forgotten its votes.
    """

    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    addresses: dict[str, str] = {}
    journals: dict[str, str] = {}

    @property
    def members(self) -> tuple[str, ...]:
        """All ids, voters first, each part sorted."""
        return self.voters + self.learners

    def with_learner(self, node_id: str, address: str) -> "Configuration":
        """Return the configuration with `node_id` as a learner: it gets the log and has no vote."""
        learners = tuple(sorted({*self.learners, node_id}))
        voters = tuple(voter for voter in self.voters if voter != node_id)
        return replace(
            self, voters=voters, learners=learners, addresses={**self.addresses, node_id: address}
        )

    def with_voter(self, node_id: str) -> "Configuration":
        """Return the configuration in which the learner `node_id` is a voter."""
        learners = tuple(learner for learner in self.learners if learner != node_id)
        return replace(self, voters=tuple(sorted({*self.voters, node_id})), learners=learners)

    def without(self, node_id: str) -> "Configuration":
        """Return the configuration without `node_id`, voter or learner."""
        return Configuration(
            tuple(voter for voter in self.voters if voter != node_id),
            tuple(learner for learner in self.learners if learner != node_id),
            {member: at for member, at in self.addresses.items() if member != node_id},
            {member: journal for member, journal in self.journals.items() if member != node_id},
        )

    def with_address(self, node_id: str, address: str) -> "Configuration":
        """Return the configuration with another address for the member `node_id`."""
        return replace(self, addresses={**self.addresses, node_id: address})

    def with_journal(self, node_id: str, journal_id: str) -> "Configuration":
        """Return the configuration with the journal id of the member `node_id`."""
        return replace(self, journals={**self.journals, node_id: journal_id})


def encode_configuration(configuration: Configuration) -> bytes:
    """Return the bytes of a configuration entry: per member a line of kind, id, address, journal.

    The columns are separated by tabs; an unknown journal is an empty column.
    """
    lines = [
        "\t".join(
            (
                kind,
                node_id,
                configuration.addresses[node_id],
                configuration.journals.get(node_id, ""),
            )
        )
        for kind, node_ids in ((_VOTER, configuration.voters), (_LEARNER, configuration.learners))
        for node_id in node_ids
    ]
    return "\n".join(lines).encode()


def decode_configuration(data: bytes) -> Configuration:
    """Return the configuration in an entry's bytes; raises `ConfigurationError` on other bytes."""
    try:
        rows = [line.split("\t") for line in data.decode().split("\n") if line]
        members = [(kind, node_id, address, journal) for kind, node_id, address, journal in rows]
    except ValueError as error:
        raise ConfigurationError("no configuration: each line names one member") from error
    if any(kind not in (_VOTER, _LEARNER) for kind, *_ in members):
        raise ConfigurationError("no configuration: a member is a voter or a learner")
    return Configuration(
        tuple(node_id for kind, node_id, *_ in members if kind == _VOTER),
        tuple(node_id for kind, node_id, *_ in members if kind == _LEARNER),
        {node_id: address for _, node_id, address, _ in members},
        {node_id: journal for _, node_id, _, journal in members if journal},
    )


def check_change(old: Configuration, new: Configuration) -> None:
    """Raise `ConfigurationError` unless `new` differs from `old` by one member at most."""
    if not new.voters:
        raise ConfigurationError("the last voter cannot be removed")
    if len(new.voters) > VOTER_COUNT_MAX:
        raise ConfigurationError(f"at most {VOTER_COUNT_MAX} voters; add it as a learner")
    if len(set(new.members)) != len(new.members) or set(new.members) != set(new.addresses):
        raise ConfigurationError("each member is named once and has one address")
    if not set(new.journals) <= set(new.members):
        raise ConfigurationError("only members have journals")
    names = "".join((*new.addresses, *new.addresses.values(), *new.journals.values()))
    if "\t" in names or "\n" in names:
        raise ConfigurationError("an id, an address or a journal holds a tab or a line break")
    moved = (set(old.voters) ^ set(new.voters)) | (set(old.learners) ^ set(new.learners))
    if len(moved) > 1:
        raise ConfigurationError("members change one at a time")
    for node_id in new.voters:
        if node_id not in old.members:
            raise ConfigurationError(f"{node_id} must catch up as a learner first")


class ConfigurationHistory:
    """The configurations along one log, oldest first. The first one is committed."""

    def __init__(self, index: int, configuration: Configuration) -> None:
        self._history = [(index, configuration)]

    @property
    def latest(self) -> Configuration:
        """The configuration in force now, committed or not."""
        return self._history[-1][1]

    @property
    def latest_index(self) -> int:
        """The index of the entry that holds `latest`."""
        return self._history[-1][0]

    def at(self, index: int) -> Configuration:
        """Return the configuration in force when `index` was the last entry."""
        for start, configuration in reversed(self._history):
            if start <= index:
                return configuration
        return self._history[0][1]

    def append(self, index: int, configuration: Configuration) -> None:
        """Add the configuration of a new entry."""
        assert index > self.latest_index
        self._history.append((index, configuration))

    def truncate(self, index: int) -> None:
        """Remove the configurations of the entries from `index` on, which were truncated."""
        while self.latest_index >= index:
            self._history.pop()

    def compact(self, index: int) -> None:
        """Remove the configurations that were in force only before `index`."""
        base = self.at(index)
        later = [(start, conf) for start, conf in self._history if start > index]
        self._history = [(index, base), *later]
