"""What a meta node starts from: its journal, and the peers of its first start."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from zreg.config import Config
from zreg.effects import Save
from zreg.errors import UsageError
from zreg.meta.peers.identity import first_save, founders_of, persisted_of
from zreg.nodes.base import NodeSettings
from zreg.nodes.meta import JOURNAL_ID, MetaNode, MetaPlace, StartState, start_state
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.ready import Persisted
from zreg.storage.journal import Journal
from zreg.wire.records.raft_messages import Entry, EntryKind

PEERS = {f"m{number}": f"tcp://m{number}:9611" for number in (1, 2, 3)}


def begin(
    directory: Path,
    peers: Mapping[str, str],
    *,
    node_id: str = "m1",
    is_joining: bool = False,
    bootstrap_expect: int = 0,
) -> StartState:
    """Return what a start of the node goes on from."""
    journal = Journal(directory / "raft.db", identity={"node_id": node_id})
    try:
        place = MetaPlace(
            directory=directory,
            peers=peers,
            is_joining=is_joining,
            bootstrap_expect=bootstrap_expect,
        )
        return start_state(journal, node_id, place)
    finally:
        journal.close()


def test_a_refused_list_of_peers_is_not_written(tmp_path: Path) -> None:
    """Else a corrected start would still tell its peers the wrong list."""
    with pytest.raises(UsageError, match="2 meta nodes are named"):
        begin(tmp_path, {name: PEERS[name] for name in ("m1", "m2")})

    origin = begin(tmp_path, PEERS)

    assert origin.identity.founders == founders_of(PEERS)
    assert begin(tmp_path, {"m1": "tcp://m1:1"}).identity.founders == founders_of(PEERS)


def test_a_node_with_peers_is_not_started_without_its_address(tmp_path: Path) -> None:
    """It was alone, other nodes were added, and it is started without its address."""
    begin(tmp_path, {})
    begin(tmp_path, {})
    journal = Journal(tmp_path / "raft.db", identity={})
    grown = Configuration(("m1",), ("m2",), {"m1": PEERS["m1"], "m2": PEERS["m2"]})
    entry = Entry(2, 1, EntryKind.CONFIGURATION, encode_configuration(grown))
    save = Save(
        snapshot=None, truncate_from=None, compact_to=None, entries=(entry,), term=1, vote=None
    )
    journal.save(save)
    journal.close()

    with pytest.raises(UsageError, match="--peer m1=m1:9611"):
        begin(tmp_path, {})
    assert begin(tmp_path, {"m1": PEERS["m1"]}).identity.address == PEERS["m1"]


@pytest.mark.parametrize(
    ("named", "said_count"), [(("m2",), 0), (("m1", "m2"), 0), (("m1", "m2", "m9"), 1)]
)
def test_only_unknown_peers_cause_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, named: tuple[str, ...], said_count: int
) -> None:
    """An added node is started with its own address only."""
    begin(tmp_path, PEERS, node_id="m2")
    with caplog.at_level(logging.WARNING):
        begin(tmp_path, {name: f"tcp://{name}:9611" for name in named}, node_id="m2")

    assert caplog.text.count("raft.peers.differ") == said_count


def test_a_recovered_journal_has_another_name_from_then_on(tmp_path: Path) -> None:
    before = begin(tmp_path, PEERS).identity.journal_id
    journal = Journal(tmp_path / "raft.db", identity={})
    journal.replace_fact(JOURNAL_ID, "another name")
    journal.close()

    assert before != begin(tmp_path, PEERS).identity.journal_id == "another name"


@pytest.mark.parametrize("is_joining", [False, True])
def test_a_start_that_ended_early_does_not_fix_the_list_of_founders(
    tmp_path: Path, *, is_joining: bool
) -> None:
    """Else its digest would not be that of its first entry."""
    journal = Journal(tmp_path / "raft.db", identity={"node_id": "m1"})
    journal.keep_fact("founders", founders_of({**PEERS, "m3": "tcp://m9:1"}))
    journal.close()

    origin = begin(tmp_path, PEERS, is_joining=is_joining)

    assert origin.identity.founders == ("" if is_joining else founders_of(PEERS))
    assert bool(origin.persisted.entries) is not is_joining


ALONE = {"m1": PEERS["m1"]}


def test_a_node_that_gathers_starts_empty_and_goes_on_from_the_list_that_it_wrote(
    tmp_path: Path,
) -> None:
    origin = begin(tmp_path, ALONE, bootstrap_expect=3)
    assert origin.persisted == Persisted()
    assert (origin.identity.founders, origin.identity.bootstrap_expect) == ("", 3)
    assert origin.identity.address == PEERS["m1"]

    journal = Journal(tmp_path / "raft.db", identity={})
    journal.save(first_save(PEERS))
    journal.close()

    again = begin(tmp_path, ALONE, bootstrap_expect=3)
    assert again.persisted == persisted_of(first_save(PEERS))
    assert again.identity.founders == founders_of(PEERS)
    assert again.identity.journal_id == origin.identity.journal_id


def test_a_node_that_gathered_in_vain_may_be_given_the_list_of_peers(tmp_path: Path) -> None:
    begin(tmp_path, ALONE, bootstrap_expect=3)

    assert begin(tmp_path, PEERS).identity.founders == founders_of(PEERS)


def test_a_node_that_waits_to_be_added_never_gathers(tmp_path: Path) -> None:
    begin(tmp_path, ALONE, is_joining=True)

    assert begin(tmp_path, ALONE, bootstrap_expect=3).identity.bootstrap_expect == 0


def test_a_node_that_gathered_and_was_added_is_no_founder(tmp_path: Path) -> None:
    begin(tmp_path, ALONE, bootstrap_expect=3)
    journal = Journal(tmp_path / "raft.db", identity={})
    journal.save(replace(first_save(PEERS), facts={}))
    journal.close()

    assert begin(tmp_path, ALONE, bootstrap_expect=3).identity.founders == ""


@pytest.mark.parametrize(
    ("peers", "expect", "is_joining", "text"),
    [
        (ALONE, 2, False, "write 3 or 5"),
        (ALONE, 1, False, "write 3 or 5"),
        (ALONE, 3, True, "leave out one of them"),
        (PEERS, 3, False, "name this node alone with --peer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, peers: Mapping[str, str], expect: int, text: str, *, is_joining: bool
) -> None:
    place = MetaPlace(
        address="tcp://127.0.0.1:0",
        membership_address="tcp://127.0.0.1:0",
        directory=tmp_path,
        peers=peers,
        is_joining=is_joining,
        bootstrap_expect=expect,
    )
    with pytest.raises(UsageError, match=text):
        MetaNode(NodeSettings(config=Config(), node_id="m1"), place)
    assert list(tmp_path.iterdir()) == []
