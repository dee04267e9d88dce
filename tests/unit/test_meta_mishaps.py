"""What goes wrong while the nodes of meta change: messages late, disks lost, peers behind."""

from meta_fakes import Cluster, running

from zreg.effects import Link
from zreg.wire.messages import Accepted, Message, Refused
from zreg.wire.meta_messages import AddMeta, IntroduceMeta, RemoveMeta
from zreg.wire.raft_messages import RequestVote


def change(
    cluster: Cluster, name: str, kind: type[AddMeta] | type[RemoveMeta], *fields: int | str
) -> list[Message]:
    """Ask for a change of the nodes as they are now."""
    index = cluster.cores[name].agreement.raft.configuration_index
    return cluster.request(name, kind(*fields, configuration_index=index))  # type: ignore[arg-type]


def late_vote(cluster: Cluster, sender: str, receiver: str) -> RequestVote:
    """Return what a node asks for that was handed the lead, and got that late."""
    raft = cluster.cores[receiver].agreement.raft
    return RequestVote(
        sender=sender,
        receiver=receiver,
        term=raft.term + 1,
        sequence=1,
        last_index=raft.log.last_index - 1,
        last_term=raft.term,
        is_pre_vote=False,
        is_transfer=True,
    )


def test_a_removed_node_that_stands_for_election_late_is_asked_who_it_is() -> None:
    cluster = running(("m1", "m2"))
    last, gone = cluster.leader(), cluster.followers()[0]
    cluster.stop(gone)
    change(cluster, last, RemoveMeta, 7, gone)
    cluster.run(0.2)
    assert cluster.answers() == [Accepted((7,))]

    cluster.give(last, Link.RAFT_ANSWER, b"request", late_vote(cluster, gone, last))

    assert cluster.leader() == last
    (answer,) = [send.message for _, send in cluster.sent if send.link is Link.RAFT_ANSWER]
    assert isinstance(answer, Refused)
    assert "has not said who it is" in answer.detail


def test_a_lone_node_that_had_to_step_down_leads_again() -> None:
    """Whoever knows of later changes is listened to, by a node that has no other to hear either."""
    cluster = running(("m1",))
    stranger = IntroduceMeta(1, "m9", "m1", "tcp://m9:9611", "x", "", b"", 1_000)
    cluster.give("m1", Link.RAFT_ANSWER, b"request", stranger)
    term = cluster.cores["m1"].agreement.raft.term

    cluster.give("m1", Link.RAFT_ANSWER, b"request", late_vote(cluster, "m9", "m1"))
    assert not cluster.cores["m1"].is_leading
    cluster.run(3.0)

    assert cluster.leader() == "m1"
    assert cluster.cores["m1"].agreement.raft.term > term
