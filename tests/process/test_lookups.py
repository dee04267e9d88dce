"""The program of docs/lookups.md: it lists ids, reads settings and watches one."""

import sys
from pathlib import Path

from page_blocks import blocks_of

import zreg
from zreg.testing.processes import Running, RunningCluster, run_zreg, wait_until


def test_a_program_sees_what_the_commands_show_and_set(cluster: RunningCluster) -> None:
    seen: list[str | None] = []
    with zreg.Client(cluster.url) as client:
        client.publish("pay", "a").wait_registered(30)
        client.publish("pay", "b").wait_registered(30)
        client.publish("ship", "c").wait_registered(30)
        client.watch_setting("limit", seen.append)
        wait_until(lambda: seen == [None], timeout_seconds=30)

        listed = client.list()
        assert [(each.data_id, each.publisher_count) for each in listed] == [
            ("pay", 2),
            ("ship", 1),
        ]
        assert [each.data_id for each in client.list("s*")] == ["ship"]

        done = run_zreg("settings", "set", "limit", "5", f"--url={cluster.url}")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: seen == [None, "5"], timeout_seconds=30)
        setting = client.settings.get("limit")
        assert setting is not None
        assert (setting.value, client.settings.list()) == ("5", (setting,))


def test_the_program_of_the_page_runs(cluster: RunningCluster) -> None:
    page = Path(__file__).parents[2] / "docs" / "lookups.md"
    (block,) = blocks_of(page, "python")
    done = run_zreg("settings", "set", "limit", "5", f"--url={cluster.url}")
    assert done.returncode == 0, done.stderr
    with zreg.Client(cluster.url) as client:
        client.publish("pay", "a").wait_registered(30)
        shown = "print(limit.value, len(everything))\nimport signal\nsignal.pause()\n"
        program = f"{block.text}\n{shown}"
        program = program.replace("zreg.Client()", f"zreg.Client({cluster.url!r})")
        with Running([sys.executable, "-u", "-c", program]) as running:
            assert running.line() == "pay DEFAULT_GROUP 1"
            assert {running.line(), running.line()} == {"5 1", "the limit is 5"}
