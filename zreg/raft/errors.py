"""The errors that a `RaftCore` raises at its own node's calls. A peer's message never raises."""


class RaftError(Exception):
    """The base of the errors below; a call that raises one has changed nothing."""


class NotLeaderError(RaftError):
    """This node is not the leader; `leader` is the id of the leader, None if it is unknown.

    Ask `leader`; where it is None, ask again after an election timeout.
    """

    def __init__(self, leader: str | None) -> None:
        super().__init__(f"this node is not the leader: ask {leader or 'again after an election'}")
        self.leader = leader


class OverloadedError(RaftError):
    """Too many proposed bytes are not committed yet; ask again when some of them are."""


class TransferringError(RaftError):
    """The leader is handing over its leadership; ask the next leader."""


class CommandTooLargeError(RaftError):
    """The command is larger than `RaftConfig.command_bytes_max`, so it can never be proposed."""


class ConfigurationError(RaftError):
    """The change of members is not allowed, or not allowed yet; the text says why."""
