"""The base of every record that travels."""

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of every record."""
