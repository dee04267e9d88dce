"""Imports form no circle, no module name stands for two things, and no folder is crowded."""

import ast
from collections import Counter, defaultdict

import pytest
from tables import ROOT

PACKAGE = ROOT / "zreg"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Each role has a module of this name, which does the same for its role.
SHARED_NAMES = {"core", "health", "errors", "config"}
MODULES_PER_FOLDER_MAX = 9


def imported_modules(name: str) -> set[str]:
    """Return the modules of zreg that a module imports, also behind `TYPE_CHECKING`."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(), name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {member for member in members if member in MODULES} or {node.module}
    return {module for module in found if module in MODULES and module != name}


IMPORTS = {name: imported_modules(name) for name in MODULES}


def reachable(name: str, imports: dict[str, set[str]]) -> set[str]:
    """Return all modules that a module imports, directly or through others."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for module in imports[waiting.pop()] - seen:
            seen.add(module)
            waiting.append(module)
    return seen


# `zreg` itself is exempt: it imports its public names when they are first used.
@pytest.mark.parametrize("name", sorted(set(MODULES) - {"zreg"}))
def test_no_module_imports_itself_through_others(name: str) -> None:
    circle = sorted(
        module for module in reachable(name, IMPORTS) if name in reachable(module, IMPORTS)
    )

    assert circle == []


def test_the_check_finds_a_circle() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}}

    assert "a" in reachable("a", imports)


def test_no_module_name_stands_for_two_things() -> None:
    places = defaultdict(list)
    for name, path in MODULES.items():
        # The modules of the integrations have the names of their libraries.
        is_integration = name.startswith("zreg.integrations.")
        if path.name not in {"__init__.py", "__main__.py"} and not is_integration:
            places[path.stem].append(name)
    twice = {stem: names for stem, names in places.items() if len(names) > 1}

    roles = {"session", "data", "meta"}  # nodes/session.py joins the session's core, and so on
    assert set(twice) - SHARED_NAMES - roles == set(), twice


def test_no_folder_is_crowded() -> None:
    counts = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in MODULES.values()
        if path.name not in {"__init__.py", "__main__.py"}
    )

    crowded = {folder: count for folder, count in counts.items() if count > MODULES_PER_FOLDER_MAX}
    assert crowded == {}, "group the modules that belong together in folders of their own"
