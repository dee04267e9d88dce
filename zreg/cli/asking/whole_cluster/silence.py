"""A node that did not tell all that it was asked for."""

import msgspec


class Silence(msgspec.Struct, frozen=True):
    """A node that did not say all that it knows, and why not."""

    node_id: str
    reason: str
