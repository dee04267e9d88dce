"""The membership cache beside a running loop: it never blocks, and writes the newest."""

import asyncio
import errno
import os
import shutil
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from reactor_fakes import wait_until

from zreg.errors import UsageError
from zreg.model import EMPTY_MEMBERSHIP, Membership, RingParameters
from zreg.storage.directory_lock import DirectoryLock
from zreg.storage.membership_cache import CACHE_NAME, MembershipCache, MembershipFile

FIRST = Membership(b"A" * 16, 1, 0, RingParameters(), ())


def membership(epoch: int) -> Membership:
    return replace(FIRST, epoch=epoch)


class SlowFile(MembershipFile):
    """Writes one membership each time that the gate is released; fails while `is_full`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, cluster="zreg", node_id="s1")
        self.epochs: list[int] = []
        self.attempt_count = 0
        self.gate = threading.Semaphore(0)
        self.is_full = False

    def write(self, membership: Membership) -> None:
        assert self.gate.acquire(timeout=10)
        self.attempt_count += 1
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(membership)
        self.epochs.append(membership.epoch)


@pytest.fixture
def file(tmp_path: Path) -> SlowFile:
    return SlowFile(tmp_path)


def test_a_burst_costs_two_writes_and_does_not_block_the_loop(file: SlowFile) -> None:
    async def run() -> None:
        cache = MembershipCache(file, pause_seconds=0.0)
        cache.store(membership(1))
        await asyncio.sleep(0)
        for epoch in range(2, 100):
            cache.store(membership(epoch))
        file.gate.release(2)
        await wait_until(lambda: file.epochs == [1, 99])
        await cache.close()

    asyncio.run(run())
    assert file.epochs == [1, 99]
    assert file.read() == membership(99)


def test_the_last_membership_is_written_at_the_end_without_the_pause(file: SlowFile) -> None:
    async def run() -> None:
        cache = MembershipCache(file, pause_seconds=1000.0)
        file.gate.release(2)
        cache.store(membership(1))
        await wait_until(lambda: file.epochs == [1])
        cache.store(membership(2))
        async with asyncio.timeout(10):
            await cache.close()

    asyncio.run(run())
    assert file.read() == membership(2)


def test_a_cache_without_a_pending_write_closes_at_once(file: SlowFile) -> None:
    async def run() -> None:
        cache = MembershipCache(file)
        await cache.close()
        assert cache.cached is EMPTY_MEMBERSHIP

    asyncio.run(run())
    assert file.attempt_count == 0


def test_a_full_disk_is_logged_once_and_written_when_there_is_space(
    file: SlowFile, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        cache = MembershipCache(file, pause_seconds=0.0, retry_seconds=0.001)
        file.is_full = True
        file.gate.release(100)
        cache.store(membership(1))
        await wait_until(lambda: file.attempt_count >= 3)
        file.is_full = False
        await wait_until(lambda: file.epochs == [1])
        file.is_full = True
        cache.store(membership(2))
        await wait_until(lambda: caplog.text.count("membership.keep.failed") == 2)
        await cache.close()

    asyncio.run(run())
    assert "cannot be written (No space left on device): free space" in caplog.text
    assert file.read() == membership(1)


def test_a_node_ends_although_its_disk_is_full(file: SlowFile) -> None:
    async def run() -> None:
        cache = MembershipCache(file, retry_seconds=1000.0)
        file.is_full = True
        file.gate.release(100)
        cache.store(membership(1))
        async with asyncio.timeout(10):
            await cache.close()

    asyncio.run(run())
    assert file.epochs == []


def locked_cache(directory: Path) -> MembershipCache:
    file = MembershipFile(directory, cluster="zreg", node_id="s1")
    return MembershipCache(
        file, lock=DirectoryLock(directory), pause_seconds=0.0, retry_seconds=0.001
    )


def test_a_directory_that_is_removed_is_taken_again_with_its_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "s1"

    async def run() -> None:
        cache = locked_cache(directory)
        cache.store(membership(1))
        await wait_until(lambda: cache.cached.epoch == 1)
        await cache.check_directory()
        assert "directory.lost" not in caplog.text

        shutil.rmtree(directory)
        await cache.check_directory()
        await wait_until((directory / CACHE_NAME).exists)
        with pytest.raises(UsageError, match="is in use by process"):
            DirectoryLock(directory)

        (directory / CACHE_NAME).unlink()
        await cache.check_directory()
        await wait_until((directory / CACHE_NAME).exists)
        await cache.close()

    asyncio.run(run())
    assert caplog.text.count("directory.lost") == 1


def test_a_directory_that_another_node_took_is_left_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "s1"

    async def run() -> None:
        cache = locked_cache(directory)
        directory.rmdir()
        other = DirectoryLock(directory)
        await cache.check_directory()
        assert cache.failure is not None
        assert cache.failure.startswith(f"{directory} is in use by process")
        cache.store(membership(1))
        await cache.check_directory()
        assert list(directory.iterdir()) == []

        other.release()
        await wait_until(lambda: cache.failure is None)
        await cache.close()

    asyncio.run(run())
    assert caplog.text.count("membership.keep.failed") == 1
