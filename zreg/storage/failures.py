"""Errors that end a node: it must not continue, and it sends nothing more."""

from zreg.errors import Error


class NodeEndError(Error):
    """This node has to end now; the message is a sentence that says what to do."""


class CoreFailedError(NodeEndError):
    """A core raised an exception, and its state cannot be trusted any more."""


class JournalError(NodeEndError):
    """The journal cannot be used; the message is a sentence that says what to do."""
