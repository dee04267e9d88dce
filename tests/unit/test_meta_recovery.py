"""What a recovery writes when most meta nodes are lost for good."""

from random import Random

import pytest
from meta_fakes import CONFIG, PEERS, identity_of, meta_member
from msgspec.structs import replace

from zreg.effects import Save, Snapshot
from zreg.meta.core import MetaCore
from zreg.meta.group.raft_driver import new_raft
from zreg.meta.group.recovery import last_entry, recovery
from zreg.meta.peers.identity import first_save
from zreg.meta.state.member_commands import RECOVERY_EPOCHS
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.ready import Persisted, configuration_of
from zreg.testing.sim.disk import SimDisk
from zreg.wire.log_commands import ChangeSetting, encode_command
from zreg.wire.records.raft_messages import Entry, EntryKind


def test_a_survivor_goes_on_alone_with_all_its_entries() -> None:
    """Entries without a majority too: a lost leader may have acknowledged them."""
    disk = SimDisk(first_save(PEERS))
    tail = Entry(2, 5, EntryKind.COMMAND, encode_command(ChangeSetting("a", "1")))
    disk.save(save_of(tail))

    disk.save(recovery(disk.load(), "m2", PEERS["m2"], "journal of m2"))
    core = new_core("m2", disk.load())
    core.start(0.0)

    assert core.is_leading
    assert core.raft_driver.raft.configuration.voters == ("m2",)
    assert core.state.settings.find("a") is not None
    assert core.epoch > RECOVERY_EPOCHS


def test_the_last_entry_may_be_in_the_snapshot() -> None:
    configuration = Configuration(("m1",), (), {"m1": "x"}, {"m1": "j"})
    snapshot = Snapshot(7, 3, encode_configuration(configuration), b"")
    kept = Persisted(term=4, snapshot=snapshot)

    assert last_entry(kept) == (3, 7)
    assert configuration_of(kept) == configuration
    save = recovery(kept, "m1", "x", "new")
    assert [entry.index for entry in save.entries] == [8, 9]
    assert save.term == 5
    # Its journal has another id from now on.
    alone = Configuration(("m1",), (), {"m1": "x"}, {"m1": "new"})
    assert save.entries[0].data == encode_configuration(alone)


def test_a_node_that_never_ran_has_nothing_to_recover() -> None:
    assert last_entry(Persisted()) == (0, 0)
    assert configuration_of(Persisted()) == Configuration()
    with pytest.raises(AssertionError):
        recovery(Persisted(), "m1", "x", "new")


def save_of(entry: Entry) -> Save:
    return replace(first_save(PEERS), entries=(entry,), term=entry.term)


def new_core(name: str, persisted: Persisted) -> MetaCore:
    return MetaCore(
        meta_member(name),
        CONFIG,
        raft=new_raft(name, persisted, Random(name)),
        identity=identity_of(name),
        cluster_id=b"c" * 16,
        now=0.0,
    )
