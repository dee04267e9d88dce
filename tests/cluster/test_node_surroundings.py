"""What a node checked when it started is looked at again while it runs."""

import asyncio
import errno
import logging
import shutil
import socket
from pathlib import Path

import pytest
from reactor_fakes import LOOPBACK, wait_until

from zreg.config import Config
from zreg.nodes.addresses import own_address
from zreg.nodes.addresses.own_address import OwnAddress, is_own_address
from zreg.nodes.base import NodeSettings
from zreg.nodes.data import DataNode
from zreg.nodes.meta import MetaNode, MetaPlace
from zreg.storage.failures import JournalError

SETTINGS = NodeSettings(config=Config.for_loopback(), node_id="n1")


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zreg.nodes.base.WATCH_SECONDS", 0.01)


def test_a_meta_node_ends_when_its_journal_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "n1"
    place = MetaPlace(address=LOOPBACK, membership_address=LOOPBACK, directory=directory)

    async def run() -> None:
        running = asyncio.create_task(MetaNode(SETTINGS, place).run())
        await asyncio.sleep(0.05)
        assert not running.done()
        shutil.rmtree(directory)
        async with asyncio.timeout(10):
            await running

    with pytest.raises(JournalError, match=r"raft\.db(-wal)? was removed or replaced while this"):
        asyncio.run(run())


def test_a_node_reports_that_its_address_is_gone_and_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = [True]
    monkeypatch.setattr(own_address, "is_own_address", lambda _host: here[0])

    async def run() -> None:
        node = DataNode(SETTINGS, address=LOOPBACK, changes_address=LOOPBACK)

        def codes() -> list[str]:
            return [problem.code for problem in node.health().problems]

        running = asyncio.create_task(node.run())
        here[0] = False
        await wait_until(lambda: "address-lost" in codes())
        here[0] = True
        await wait_until(lambda: "address-lost" not in codes())
        node.stop()
        await running

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert caplog.text.count("node.address.lost host=127.0.0.1") == 1
    assert caplog.text.count("node.address.restored host=127.0.0.1") == 1


def test_an_address_of_a_node_is_one_of_its_machine() -> None:
    assert is_own_address("127.0.0.1")
    assert is_own_address("0.0.0.0")  # noqa: S104 -- of UDP, and nothing is received
    assert not is_own_address("192.0.2.1")
    address = OwnAddress("192.0.2.1", bound_host="192.0.2.1", peers=None)
    asyncio.run(address.check())
    assert address.problem is not None
    assert address.problem.detail.startswith("192.0.2.1 is no address of this machine any more")


def test_the_address_is_looked_up_where_a_node_may_bind_to_no_further_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Bound(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(errno.EPERM, "SocketBindDeny=any")

    monkeypatch.setattr(own_address.socket, "socket", Bound)

    assert is_own_address("127.0.0.1")
    assert is_own_address("0.0.0.0")  # noqa: S104 -- nothing is bound
    assert not is_own_address("192.0.2.1")
