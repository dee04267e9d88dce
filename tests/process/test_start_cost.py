"""A command loads what it needs and nothing else: each process pays for a library at its start."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zreg.testing.processes import Running, clean_environment

# Runs a command in a process, and writes which modules are loaded in the end.
PROGRAM = """
import json, sys
from zreg.cli.app import run
code = run(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""
FOR_TABLES = {"rich"}
FOR_TYPER_ITSELF = {"pydantic", "pydantic_core"}
FOR_NODES = {"aiohttp", "asyncio", "loguru", "sqlite3", "zmq", "zreg.reactor"}
ROLES = {"zreg.client.api", "zreg.data", "zreg.meta", "zreg.nodes", "zreg.session"}


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *arguments]


@pytest.mark.parametrize("arguments", [["version"], ["version", "-o", "json"]])
def test_a_command_that_only_prints_loads_no_role_and_no_library_of_nodes(
    arguments: list[str],
) -> None:
    done = subprocess.run(
        program(*arguments),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=clean_environment(),
    )

    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded & (FOR_TABLES | FOR_TYPER_ITSELF | FOR_NODES | ROLES) == set()
    assert "zreg.cli.commands.own.version_command" in loaded


@pytest.mark.parametrize(
    ("role", "others"),
    [
        ("session", {"zreg.client.api", "zreg.data.core", "zreg.meta", "zreg.raft", "sqlite3"}),
        ("data", {"zreg.client.api", "zreg.session", "zreg.meta", "zreg.raft", "sqlite3"}),
        ("meta", {"zreg.client.api", "zreg.session", "zreg.data.core"}),
    ],
)
def test_a_node_loads_neither_the_other_roles_nor_what_its_command_does_not_use(
    role: str, others: set[str], tmp_path: Path
) -> None:
    settings = ("--lease-seconds", "5", "--dir", str(tmp_path), "--http-port", "off")
    with Running(program(role, "--port", "0", *settings, "-o", "json")) as node:
        assert json.loads(node.line())["role"] == role
        node.send(signal.SIGTERM)
        loaded = set(json.loads(node.line()))

    unused = {"aiohttp", *FOR_TABLES, *FOR_TYPER_ITSELF, *others}
    assert loaded & unused == set()
    assert f"zreg.nodes.{role}" in loaded
