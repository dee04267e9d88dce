"""What ends a node: it must not go on, and nothing more of it may leave."""

from zreg.errors import Error


class NodeEndError(Error):
    """This node has to end now; the message is a sentence that says what to do."""


class CoreFailedError(NodeEndError):
    """A core raised, and its state cannot be trusted any more."""
