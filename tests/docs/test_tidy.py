"""Files stay small, and each thing has one place where it is done."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tables import ROOT

MODULE_LINES_MAX = 500
# One file of tests per module, so it may be longer than what it tests.
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
    """Return the tree of a file."""
    return ast.parse((ROOT / name).read_text(), name)


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield all that is imported, in dotted words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield what is called, in dotted words as they are written, and the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def does_import(name: str, package: str) -> bool:
    """Return whether a file imports a package or anything of it."""
    return any(
        found == package or found.startswith(f"{package}.") for found in imports(parse(name))
    )


@files
def test_a_file_fits_its_first_reader(name: str) -> None:
    source = (ROOT / name).read_text()
    too_long = [
        f"{node.name} has {lines} lines, of {lines_max}"
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
def test_a_file_says_what_it_is(name: str) -> None:
    tree = parse(name)

    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tests/unit/")])
def test_unit_tests_touch_no_clock_and_no_socket(name: str) -> None:
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
def test_no_test_is_skipped_without_a_reason(name: str) -> None:
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
    """What tests run by hand prints too: a seed that failed has to be read by somebody.

    `__main__` says which package is missing when the command line cannot be imported.
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

    assert {name.rpartition("/")[0] for name in found} == {"zreg/reactor/sockets"}


def test_only_bodies_are_packed_with_msgpack() -> None:
    found = {name for name in PACKAGE if does_import(name, "msgpack")}

    assert found == {"zreg/wire/body.py"}


@package_files
def test_only_the_wire_decodes(name: str) -> None:
    """The configuration is the exception: it comes from files and people, not from peers."""
    if name.startswith("zreg/wire/") or name == "zreg/cli/process/node_options.py":
        return
    decoding = [
        call
        for call, _ in calls(parse(name))
        if call.startswith("msgspec.") and call.split(".")[-1] in {"decode", "Decoder"}
    ]

    assert decoding == []
    assert not does_import(name, "pickle")
    assert not {"msgspec.msgpack", "msgspec.json"} & set(imports(parse(name))), "write it in full"


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/architecture.md",
        "docs/configuration.md",
        "docs/dependencies.md",
        "docs/protocol.md",
    ],
)
def test_a_page_that_is_promised_is_there(path: str) -> None:
    assert (ROOT / path).stat().st_size > 0


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md")))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [part.split(")")[0].split("#")[0] for part in page.read_text().split("](")[1:]]
    local = [target for target in targets if target and "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []
