"""The base class of the records, in a module that all modules of records can import."""

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of every record: a frozen array, `[tag, field, ...]` on the wire."""
