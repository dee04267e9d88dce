"""Files, classes and functions stay small, and each kind of work is done in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tables import PAGES, ROOT

MODULE_LINES_MAX = 500
# There is one test file per module, so it may be longer than the module that it tests.
TEST_MODULE_LINES_MAX = 1000
CLASS_LINES_MAX = 300
FUNCTION_LINES_MAX = 50

FOLDERS = ("zreg", "tests", "examples", "bench")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
PACKAGE = [name for name in NAMES if name.startswith("zreg/")]

files = pytest.mark.parametrize("name", NAMES)
package_files = pytest.mark.parametrize("name", PACKAGE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(name: str) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse((ROOT / name).read_text(), name)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names of all imported modules and of the names imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call with the dotted name of the called function as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def does_import(name: str, package: str) -> bool:
    """Return whether a file imports a package or one of its modules or names."""
    return any(
        found == package or found.startswith(f"{package}.") for found in imports(parse(name))
    )


@files
def test_a_file_keeps_the_size_limits(name: str) -> None:
    source = (ROOT / name).read_text()
    too_long = [
        f"{node.name} has {lines} lines, the limit is {lines_max}"
        for node in ast.walk(ast.parse(source, name))
        if isinstance(node, ast.ClassDef | Function)
        for lines_max in [CLASS_LINES_MAX if isinstance(node, ast.ClassDef) else FUNCTION_LINES_MAX]
        for lines in [(node.end_lineno or 0) - node.lineno + 1]
        if lines > lines_max
    ]

    assert too_long == []
    is_test = name.startswith("tests/")
    lines_max = TEST_MODULE_LINES_MAX if is_test else MODULE_LINES_MAX
    assert len(source.splitlines()) <= lines_max


@files
def test_a_file_has_a_module_docstring(name: str) -> None:
    tree = parse(name)

    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tests/unit/")])
def test_unit_tests_use_no_clock_and_no_socket(name: str) -> None:
    tree = parse(name)
    found = {call.split(".")[-1] for call, _ in calls(tree)} & {
        "sleep",
        "monotonic",
        "perf_counter",
    }
    forbidden = {"asyncio", "socket", "threading", "time", "zmq", "subprocess"}

    assert found == set()
    assert {module.split(".")[0] for module in imports(tree)} & forbidden == set()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tests/")])
def test_every_skip_and_xfail_gives_a_reason(name: str) -> None:
    tree = parse(name)
    skips = ("pytest.skip", "pytest.xfail", "mark.skip", "mark.skipif", "mark.xfail")
    for call, node in calls(tree):
        if call.endswith(skips):
            given = [k.value for k in node.keywords if k.arg == "reason"]
            given += node.args[:1] if call.startswith(("pytest.skip", "pytest.xfail")) else []
            assert given, f"{call} in line {node.lineno} gives no reason"
            assert ast.unparse(given[0]) not in {"''", "None"}
    bare = {
        ast.unparse(decorator)
        for node in ast.walk(tree)
        if isinstance(node, Function | ast.ClassDef)
        for decorator in node.decorator_list
    }
    assert not any(decorator.endswith(skips) for decorator in bare)


@package_files
def test_only_the_command_line_prints(name: str) -> None:
    """Simulations print as well: a developer runs them by hand and reads the failing seed.

    `__main__` prints which package is missing when the command line cannot be imported.
    """
    if name.startswith(("zreg/cli/", "zreg/testing/", "zreg/__main__.py")):
        return
    printing = [
        call
        for call, _ in calls(parse(name))
        if call == "print" or call.startswith(("sys.stdout", "sys.stderr"))
    ]

    assert printing == []


def test_only_the_sockets_of_the_reactor_know_zeromq() -> None:
    found = {name for name in PACKAGE if does_import(name, "zmq")}

    assert found
    assert [name for name in found if not name.startswith("zreg/reactor/sockets/")] == []


def test_only_the_body_module_imports_msgpack() -> None:
    found = {name for name in PACKAGE if does_import(name, "msgpack")}

    assert found == {"zreg/wire/body.py"}


@package_files
def test_only_the_wire_package_decodes(name: str) -> None:
    """Node options are the exception: they come from files and operators, not from peers."""
    if name.startswith("zreg/wire/") or name == "zreg/cli/options/node_options.py":
        return
    decoding = [
        call
        for call, _ in calls(parse(name))
        if call.startswith("msgspec.") and call.split(".")[-1] in {"decode", "Decoder"}
    ]

    assert decoding == []
    assert not does_import(name, "pickle")
    assert not {"msgspec.msgpack", "msgspec.json"} & set(imports(parse(name))), (
        "write msgspec.msgpack.… in full, so that this test finds the call"
    )


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/architecture.md",
        "docs/configuration.md",
        "docs/dependencies.md",
        "docs/operating.md",
        "docs/protocol.md",
        "docs/testing-your-code.md",
        "docs/testing.md",
    ],
)
def test_a_required_page_exists(path: str) -> None:
    assert (ROOT / path).stat().st_size > 0


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_point_to_existing_files(page: Path) -> None:
    targets = [part.split(")")[0].split("#")[0] for part in page.read_text().split("](")[1:]]
    local = [target for target in targets if target and "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []
