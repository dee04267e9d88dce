"""A digest of every record that a simulated cluster sends, to compare two versions of the code.

For each record the digest covers the time, the sender, the receiver and the encoded record. Texts
for people are left out: rewording a sentence changes nothing that a node does.
"""

from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from zreg.wire.log_commands import Depart, decode_command, encode_command
from zreg.wire.messages import Message
from zreg.wire.records.meta_messages import MetaNodesReply
from zreg.wire.records.raft_messages import AppendEntries, Entry, EntryKind

_encoder: Final = msgspec.msgpack.Encoder()
_TEXT_FIELDS: Final = ("detail", "trouble")


class SentRecords:
    """Hashes the records sent; two runs that send the same records have the same digest."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def add(self, now: float, sender: str, receiver: str, message: Message | msgspec.Raw) -> None:
        """Add one record that `sender` sends to `receiver` at `now`, in seconds."""
        self._hash.update(f"{now:.6f} {sender}>{receiver} ".encode())
        self._hash.update(_encoder.encode(without_texts(message)))

    def hexdigest(self) -> str:
        """Return the digest of all records so far."""
        return self._hash.hexdigest()


def without_texts(message: Message | msgspec.Raw) -> Message | msgspec.Raw:
    """Return the record with every text for people replaced by an empty one."""
    if not isinstance(message, Message):
        return message
    if isinstance(message, AppendEntries):
        return replace(message, entries=tuple(map(_without_reason, message.entries)))
    if isinstance(message, MetaNodesReply):
        nodes = tuple(replace(node, trouble="") for node in message.nodes)
        return replace(message, nodes=nodes)
    texts = {name: "" for name in _TEXT_FIELDS if getattr(message, name, "")}
    return replace(message, **texts) if texts else message


def _without_reason(entry: Entry) -> Entry:
    if entry.kind is not EntryKind.COMMAND:
        return entry
    try:
        command = decode_command(entry.data)
    except msgspec.DecodeError:
        return entry
    if not isinstance(command, Depart):
        return entry
    return replace(entry, data=encode_command(replace(command, reason="")))
