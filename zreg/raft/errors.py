"""Why a `RaftCore` refuses what its own node asks of it; a peer's message never raises."""


class RaftError(Exception):
    """The base of every refusal; nothing was changed by the refused call."""


class NotLeaderError(RaftError):
    """This node is not the leader; `leader` is who is, as far as known.

    Ask `leader`, or wait an election timeout where it is None.
    """

    def __init__(self, leader: str | None) -> None:
        super().__init__(f"not the leader; ask {leader or 'again after an election'}")
        self.leader = leader


class OverloadedError(RaftError):
    """Too many bytes wait for a majority; ask again when some of them are committed."""


class TransferringError(RaftError):
    """The leadership is just being handed over; ask the next leader."""


class CommandTooLargeError(RaftError):
    """The command is above `RaftConfig.command_bytes_max` and never fits."""


class ConfigurationError(RaftError):
    """The change of members is not allowed, or not allowed yet; the text says why."""
