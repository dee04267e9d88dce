"""A program with a cache directory starts while the whole registry is down."""

import json
from pathlib import Path

import pytest
from watching import Worker

import zreg
from zreg.testing.processes import DevRegistry, wait_until

EARLIER, LATER = zreg.Endpoint("10.0.0.7", 80), zreg.Endpoint("10.0.0.9", 80)


@pytest.mark.parametrize(("role", "end"), [("pick", "killed"), ("pick-in-loop", "unclosed")])
def test_a_program_picks_at_once_while_the_registry_is_down_and_follows_it_later(
    role: str, end: str, tmp_path: Path
) -> None:
    cache_dir = tmp_path / "cache"
    with DevRegistry() as registry:
        with (
            zreg.Client(registry.url) as publisher,
            Worker(role, registry.url, "orders", str(cache_dir)) as earlier,
        ):
            publisher.publish("orders", EARLIER)
            wait_until(lambda: json.loads(earlier.ask())[1] == [EARLIER.address, False, False])
            # The first write is of the empty view, and the next one comes a second later.
            wait_until(lambda: has_text(cache_dir, EARLIER.host))
            if end == "killed":
                earlier.kill()
        registry.stop()

        with Worker(role, registry.url, "orders", str(cache_dir)) as program:
            first, _ = json.loads(program.ask())
            assert first == [EARLIER.address, True, True]

            registry.restart()
            with zreg.Client(registry.url) as publisher:
                publisher.publish("orders", LATER)
                wait_until(lambda: json.loads(program.ask())[1] == [LATER.address, False, False])


def has_text(directory: Path, text: str | None) -> bool:
    """Return whether the file of the cache holds a text."""
    return any(str(text).encode() in path.read_bytes() for path in directory.glob("*.view"))
