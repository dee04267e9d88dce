"""Refusals, as meta sends them to nodes and to people."""

from zreg.effects import Link, Peer, Send
from zreg.errors import NotLeaderError
from zreg.wire.common_messages import Refused


def refused(peer: Peer, request_id: int, code: int, detail: str) -> Send:
    """Return a plain no."""
    return Send(Link.NODES, peer, Refused(request_id, code, detail))


def not_leader(peer: Peer, request_id: int, address: str, detail: str) -> Send:
    """Return a no that says where the leader is, if anybody knows."""
    refusal = Refused(request_id, NotLeaderError.code, detail, address=address)
    return Send(Link.NODES, peer, refusal)
