"""The journal on a real file: what it saves, and which damage it refuses."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from zreg.effects import Save, Snapshot
from zreg.raft.config import RaftConfig
from zreg.raft.configuration import Configuration, encode_configuration
from zreg.raft.consensus import RaftCore
from zreg.raft.ready import Persisted, bootstrap
from zreg.raft.status import Role
from zreg.storage.failures import JournalError
from zreg.storage.journal import Journal
from zreg.storage.journal_database import FORMAT
from zreg.storage.journal_rows import EntryRow, SnapshotRow
from zreg.testing.sim.disk import SimDisk
from zreg.wire.records.raft_messages import Entry, EntryKind

IDENTITY = {"node_id": "m1"}
MEMBERS = encode_configuration(Configuration(("m1",), (), {"m1": "tcp://127.0.0.1:9700"}))


def entry(index: int, term: int = 1, data: bytes | None = None) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, b"entry %d" % index if data is None else data)


def save(
    *entries: Entry,
    term: int = 1,
    vote: str | None = None,
    snapshot: Snapshot | None = None,
    truncate_from: int | None = None,
    compact_to: int | None = None,
) -> Save:
    return Save(
        snapshot=snapshot,
        truncate_from=truncate_from,
        compact_to=compact_to,
        entries=entries,
        term=term,
        vote=vote,
    )


def write(path: Path, *steps: Save) -> None:
    journal = Journal(path, identity=IDENTITY)
    for step in steps:
        journal.save(step)
    journal.close()


def read(path: Path) -> Persisted:
    """Return what the core would start from."""
    journal = Journal(path, identity=IDENTITY)
    journal.close()
    return Persisted.of(journal.contents)


def spoil(path: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement, values)
    database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raft.db"


def test_a_new_journal_is_empty(path: Path) -> None:
    assert read(path) == Persisted()


def test_a_step_is_read_back(path: Path) -> None:
    write(path, save(entry(1), entry(2, 3, b""), term=4, vote="m2"))

    assert read(path) == Persisted(term=4, vote="m2", entries=(entry(1), entry(2, 3, b"")))


def test_rows_are_plain_values(path: Path) -> None:
    snapshot = Snapshot(1, 1, MEMBERS, b"state")
    write(path, save(entry(1), snapshot=snapshot))

    journal = Journal(path, identity=IDENTITY)
    journal.close()

    assert journal.contents.entries == (EntryRow(1, 1, 1, b"entry 1"),)
    assert journal.contents.snapshot == SnapshotRow(1, 1, MEMBERS, b"state")


def test_the_tail_is_replaced(path: Path) -> None:
    write(
        path,
        save(*(entry(index) for index in range(1, 6))),
        save(entry(3, 2), truncate_from=3, term=2),
    )

    assert read(path).entries == (entry(1), entry(2), entry(3, 2))


def test_a_snapshot_and_its_compaction_are_one_step(path: Path) -> None:
    snapshot = Snapshot(4, 1, MEMBERS, b"state")
    write(
        path,
        save(*(entry(index) for index in range(1, 6))),
        save(snapshot=snapshot, compact_to=2),
        save(entry(6)),
    )

    assert read(path) == Persisted(
        term=1, snapshot=snapshot, entries=tuple(entry(index) for index in range(3, 7))
    )


def test_an_installed_snapshot_replaces_the_log(path: Path) -> None:
    snapshot = Snapshot(9, 2, MEMBERS, b"state")
    write(
        path,
        save(entry(1), entry(2)),
        save(entry(10, 2), snapshot=snapshot, truncate_from=1, term=2),
    )

    assert read(path) == Persisted(term=2, snapshot=snapshot, entries=(entry(10, 2),))


def test_a_large_snapshot_alone_is_read_back(path: Path) -> None:
    snapshot = Snapshot(9, 2, MEMBERS, bytes(1_000_000))
    write(path, save(snapshot=snapshot, truncate_from=1, term=2))

    assert read(path) == Persisted(term=2, snapshot=snapshot)


def test_each_step_waits_for_the_disk(path: Path) -> None:
    journal = Journal(path, identity=IDENTITY)

    run = journal._database.connection.execute
    assert run("PRAGMA synchronous").fetchone() == (2,)
    assert run("PRAGMA journal_mode").fetchone() == ("wal",)
    assert run("PRAGMA locking_mode").fetchone() == ("exclusive",)
    journal.close()


def run_alone(path: Path, values: range) -> tuple[int, list[Entry]]:
    """Run the only voter on its journal: propose `values`, compact; return term and applied."""
    journal = Journal(path, identity=IDENTITY)
    if journal.contents.term == 0:
        journal.save(bootstrap(Configuration(("m1",), (), {"m1": "here"})))
        journal.close()
        return run_alone(path, values)
    core = RaftCore(RaftConfig(node_id="m1"), Persisted.of(journal.contents), Random(1))
    applied: list[Entry] = []
    while core.role is not Role.LEADER:
        core.tick()
        carry_out(core, journal, applied)
    for value in values:
        core.propose(b"%d" % value)
        carry_out(core, journal, applied)
    core.compact(b"up to %d" % values[-1])
    carry_out(core, journal, applied)
    journal.close()
    return core.term, applied


def carry_out(core: RaftCore, journal: Journal, applied: list[Entry]) -> None:
    while (ready := core.ready()) is not None:
        if ready.save is not None:
            journal.save(ready.save)
        core.advance()
        applied += ready.committed


def test_a_node_runs_on_its_journal_again_and_again(path: Path) -> None:
    first_term, first = run_alone(path, range(1, 4))
    second_term, second = run_alone(path, range(4, 6))

    assert second_term == first_term + 1
    assert [each.data for each in first if each.kind is EntryKind.COMMAND] == [b"1", b"2", b"3"]
    assert [each.data for each in second if each.kind is EntryKind.COMMAND] == [b"4", b"5"]
    kept = read(path).snapshot
    assert kept is not None
    assert kept.data == b"up to 5"


def test_the_simulated_disk_keeps_what_the_journal_keeps(path: Path) -> None:
    rng, disk = Random(5), SimDisk()
    journal = Journal(path, identity=IDENTITY)
    first, last, term, reach = 1, 0, 1, 0
    for _ in range(200):
        term += rng.random() < 0.2
        cut = rng.randint(max(reach, last - 3) + 1, last) if last > max(reach, first) else None
        last = last if cut is None else cut - 1
        new = [entry(last + 1 + each, term) for each in range(rng.randint(0, 3))]
        step = save(*new, term=term, vote=rng.choice((None, "m2")), truncate_from=cut)
        last += len(new)
        journal.save(step)
        disk.save(step)
        if rng.random() < 0.1 and last > reach:
            reach = rng.randint(reach + 1, last)
            stored = next(each for each in disk.load().entries if each.index == reach)
            first = max(first, reach - 3)
            step = save(
                snapshot=Snapshot(reach, stored.term, MEMBERS, b"%d" % reach),
                compact_to=first - 1,
                term=term,
            )
            journal.save(step)
            disk.save(step)
    journal.close()

    assert read(path) == disk.load()
    assert reach > 20


def test_the_simulated_disk_forgets_what_was_not_synced() -> None:
    disk = SimDisk(save(entry(1)))
    disk.write(save(entry(2), term=2, vote="m2"))

    disk.crash()

    assert disk.load() == Persisted(term=1, entries=(entry(1),))


def test_the_simulated_disk_fails_once_when_told_to() -> None:
    disk = SimDisk()
    disk.fail_next()

    with pytest.raises(JournalError, match="full"):
        disk.save(save(entry(1)))

    disk.save(save(entry(1)))
    assert disk.holds(entry(1))
    assert not disk.holds(entry(1, 2))
    disk.save(save(snapshot=Snapshot(1, 1, MEMBERS, b"")))
    assert disk.holds(entry(1))


def test_identity_is_written_once_and_compared(path: Path) -> None:
    Journal(path, identity=IDENTITY).close()
    Journal(path, identity={"cluster_id": "c1"}).close()

    with pytest.raises(JournalError, match="belongs to cluster_id c1, not c2: start this node"):
        Journal(path, identity={"cluster_id": "c2", "node_id": "m1"})

    Journal(path, identity={"cluster_id": "c1", "node_id": "m1"}).close()


def test_a_second_process_is_refused(path: Path) -> None:
    journal = Journal(path, identity=IDENTITY)

    with pytest.raises(JournalError, match="another process uses it, so stop that one first"):
        Journal(path, identity=IDENTITY)

    journal.close()


def test_another_format_is_refused(path: Path) -> None:
    write(path, save(entry(1)))
    spoil(path, f"PRAGMA user_version = {FORMAT + 1}")

    with pytest.raises(JournalError, match="start the zreg version that wrote it"):
        read(path)


def write_and_die(path: Path, count: int) -> None:
    """Leave the files as a killed process does: the last steps are only in the WAL."""
    living = path.with_name("living.db")
    journal = Journal(living, identity=IDENTITY)
    for index in range(1, count + 1):
        journal.save(save(entry(index), term=index))
    shutil.copy(living, path)
    shutil.copy(living.with_name("living.db-wal"), path.with_name("raft.db-wal"))
    journal.close()


def persisted(count: int) -> Persisted:
    return Persisted(term=count, entries=tuple(entry(index) for index in range(1, count + 1)))


def test_a_killed_process_keeps_whole_steps(path: Path) -> None:
    write_and_die(path, 50)

    assert read(path) == persisted(50)


@pytest.mark.parametrize(("count", "flips"), [(12, 60), (700, 10)])
def test_a_flipped_byte_of_the_write_ahead_log_loses_at_most_the_last_step(
    path: Path, count: int, flips: int
) -> None:
    """A bad last step looks like one that was never finished; any other is refused."""
    write_and_die(path, count)
    wal = path.with_name("raft.db-wal")
    sound, sound_wal = path.read_bytes(), wal.read_bytes()
    refused = 0
    for position in [*range(0, 32, 5), *Random(1).sample(range(len(sound_wal)), flips)]:
        flip(wal, position)
        try:
            assert read(path) in (persisted(count), persisted(count - 1)), position
        except JournalError:
            refused += 1
        path.write_bytes(sound)
        wal.write_bytes(sound_wal)

    assert refused > 6


@pytest.mark.parametrize("cut", [1, 700, 1048, 1049, 2096])
def test_a_torn_end_of_the_write_ahead_log_is_taken_for_a_power_cut(path: Path, cut: int) -> None:
    """A step is two frames of 1,048 bytes."""
    write_and_die(path, 12)
    wal = path.with_name("raft.db-wal")
    tear(wal, wal.stat().st_size - cut)

    assert read(path) == persisted(11)


def test_a_journal_keeps_the_page_size_with_which_it_was_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as former:
        former.setattr("zreg.storage.journal_database._PAGE_BYTES", 4096)
        write(path, save(entry(1)))
    write(path, save(entry(2)))

    assert read(path).entries == (entry(1), entry(2))
    assert path.read_bytes()[16:18] == (4096).to_bytes(2)


@pytest.mark.parametrize("size", [0, 31])
def test_a_write_ahead_log_that_was_only_begun_holds_nothing(path: Path, size: int) -> None:
    write(path, save(entry(1)))
    path.with_name("raft.db-wal").write_bytes(bytes(size))

    assert read(path).entries == (entry(1),)


def test_a_full_disk_stops_the_node_and_keeps_what_was_saved(path: Path) -> None:
    write(path, save(entry(1)))
    journal = Journal(path, identity=IDENTITY, page_count_max=12)

    with pytest.raises(JournalError, match=r"cannot be written .* free space on its disk"):
        journal.save(save(entry(2, 1, bytes(200_000)), term=9, vote="m2"))
    with pytest.raises(JournalError, match="failed before: end this node"):
        journal.save(save(entry(2)))
    journal.close()

    assert read(path) == Persisted(term=1, entries=(entry(1),))


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot be opened .* look at its directory"):
        Journal(tmp_path / "missing" / "raft.db", identity=IDENTITY)


REJOIN = r"move the directory .* away, .* start it with --join, so that it rejoins as a new node"


def filled(path: Path) -> None:
    snapshot = Snapshot(3, 1, MEMBERS, b"the state of the machine")
    steps = [save(entry(index, 1, b"payload %d" % index), vote="m2") for index in range(1, 9)]
    write(path, *steps, save(snapshot=snapshot, compact_to=1, vote="m2"))


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE log SET data = x'00' WHERE idx = 5", "row 5 of the log"),
        ("UPDATE log SET term = 2 WHERE idx = 5", "row 5 of the log"),
        ("UPDATE log SET kind = 0 WHERE idx = 5", "row 5 of the log"),
        ("UPDATE log SET data = 'text' WHERE idx = 5", "row 5 of the log"),
        ("DELETE FROM log WHERE idx = 5", "row 5 of the log"),
        ("DELETE FROM log WHERE idx = 8", "the log up to row 8"),
        ("DELETE FROM log WHERE idx > 2", "the log up to row 8"),
        ("DELETE FROM log", "the log up to row 8"),
        ("DELETE FROM log WHERE idx < 5", "the log between rows 3 and 5"),
        ("DELETE FROM snapshot", "the log between rows 0 and 2"),
        ("UPDATE snapshot SET idx = 2", "the snapshot"),
        ("UPDATE snapshot SET data = x'00'", "the snapshot"),
        ("UPDATE promise SET term = 9", "the term and vote"),
        ("UPDATE promise SET vote = 'm3'", "the term and vote"),
        ("UPDATE promise SET vote = NULL", "the term and vote"),
        ("UPDATE promise SET vote = CAST(x'ff' AS TEXT)", "the term and vote"),
        ("DELETE FROM promise", "the term and vote"),
        ("UPDATE facts SET value = 'm9'", "the fact node_id"),
        ("DROP TABLE log", "no such table"),
    ],
)
def test_damage_is_refused_with_the_way_out(path: Path, statement: str, what: str) -> None:
    filled(path)
    spoil(path, statement)

    with pytest.raises(JournalError, match=rf"damaged .*{what}.* take this node out .* {REJOIN}"):
        read(path)


def test_the_term_and_the_snapshot_must_fit_the_log(path: Path) -> None:
    write(path, save(entry(1, 5), term=3))
    with pytest.raises(JournalError, match="the term"):
        read(path)
    path.unlink()
    write(path, save(entry(1), snapshot=Snapshot(7, 1, MEMBERS, b"")))

    with pytest.raises(JournalError, match="the log up to the snapshot 7"):
        read(path)


def tear(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


@pytest.mark.parametrize("size", [0, 1, 100, 511, 512, 1024, 1500, 2048])
def test_a_torn_file_is_refused(path: Path, size: int) -> None:
    filled(path)
    tear(path, size)

    with pytest.raises(JournalError, match=REJOIN):
        read(path)


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"this is no database " * 1000)

    with pytest.raises(JournalError, match=REJOIN):
        read(path)


def flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 0x10
    path.write_bytes(raw)


def test_a_flipped_byte_is_refused_or_harmless(path: Path) -> None:
    """Wherever a bit flips, the journal is refused, or it returns what was saved."""
    filled(path)
    expected, sound = read(path), path.read_bytes()
    refused = 0
    for position in Random(1).sample(range(len(sound)), 150):
        flip(path, position)
        try:
            assert read(path) == expected, position
        except JournalError:
            refused += 1
        path.with_name("raft.db-wal").unlink(missing_ok=True)
        path.write_bytes(sound)

    assert refused > 0


def test_every_flipped_byte_of_an_entry_is_refused(path: Path) -> None:
    filled(path)
    sound = path.read_bytes()
    start = sound.index(b"payload 6")
    for position in range(start, start + 9):
        flip(path, position)
        with pytest.raises(JournalError, match="row 6 of the log"):
            read(path)
        path.write_bytes(sound)


@pytest.mark.parametrize("change", [lambda path: None, lambda path: path.unlink()])
def test_a_refused_journal_is_closed(path: Path, change: Callable[[Path], None]) -> None:
    filled(path)
    spoil(path, "DELETE FROM promise")
    with pytest.raises(JournalError):
        read(path)

    change(path)

    spoil(path, "CREATE TABLE free(id)")


def test_a_fact_keeps_its_first_value(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "raft.db", identity={"node_id": "m1"})
    assert journal.keep_fact("journal_id", "one") == "one"
    assert journal.keep_fact("journal_id", "two") == "one"
    journal.close()

    again = Journal(tmp_path / "raft.db", identity={})
    assert again.facts == {"node_id": "m1", "journal_id": "one"}
    assert again.keep_fact("journal_id", "three") == "one"
    again.close()


def test_a_directory_that_may_not_be_entered_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)

    with pytest.raises(JournalError, match=r"cannot be opened \(Permission denied\): look at its"):
        Journal(tmp_path / "raft.db", identity={})


def test_a_journal_that_is_removed_while_it_is_open_takes_no_more_promises(path: Path) -> None:
    """SQLite would go on to write to the removed file."""
    for remove in (lambda: shutil.rmtree(path.parent), lambda: path.rename(path.parent / "moved")):
        path.parent.mkdir(exist_ok=True)
        journal = Journal(path, identity=IDENTITY)
        journal.save(save(entry(1)))
        journal.check_files()

        remove()
        for use in (journal.check_files, lambda: journal.save(save(entry(2)))):  # noqa: B023
            with pytest.raises(JournalError, match=r"raft\.db was removed or replaced while this"):
                use()
        journal.close()


def test_a_journal_that_is_replaced_while_it_is_open_takes_no_more_promises(path: Path) -> None:
    journal = Journal(path, identity=IDENTITY)
    path.with_name("new").touch()
    path.with_name("new").rename(path)

    with pytest.raises(JournalError, match="was removed or replaced while this node ran"):
        journal.save(save(entry(1)))
    journal.close()


def test_a_journal_keeps_what_it_promised_if_only_its_write_ahead_log_is_removed(
    path: Path,
) -> None:
    journal = Journal(path, identity=IDENTITY)
    journal.save(save(entry(1), entry(2), term=4, vote="m2"))
    path.with_name("raft.db-wal").unlink()

    with pytest.raises(JournalError, match="start this node again; it goes on from what it had"):
        journal.save(save(entry(3)))
    journal.close()

    assert read(path) == Persisted(term=4, vote="m2", entries=(entry(1), entry(2)))


def test_a_journal_that_cannot_be_looked_at_is_not_taken_for_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    journal = Journal(path, identity=IDENTITY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail)
        journal.check_files()
    journal.close()
