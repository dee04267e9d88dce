"""A founded meta state in unit tests, and the nodes that join it."""

from zreg.meta.state.meta_state import MetaState
from zreg.model import Member, Membership, RingParameters, Role, Status
from zreg.wire.log_commands import AnyCommand, Found

CLUSTER = b"id" * 8
META = Member("m1", Role.META, 1, Status.WORKING, "tcp://m1:1", "tcp://m1:2", process_id=b"m1")
FIRST = Membership(CLUSTER, 1, 0, RingParameters(), (META,))


def member(node_id: str, life: int = 1) -> Member:
    """Return a node that wants to join. Its id begins with s, d or m, which is its role."""
    role = {"s": Role.SESSION, "d": Role.DATA, "m": Role.META}[node_id[0]]
    process_id = f"{node_id}/{life}".encode()
    return Member(node_id, role, 0, Status.INITIAL, f"tcp://{node_id}:1", process_id=process_id)


def founded(*commands: AnyCommand) -> MetaState:
    """Return a state to which these commands were applied, each with success."""
    state = MetaState()
    for command in (Found(FIRST), *commands):
        assert state.apply(command).code == 0
    return state
