"""The dashboard is small, asks no other host, never reads data as markup, and is in the wheel."""

import re
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from tables import ROOT

FILES = sorted((ROOT / "zreg/http/dashboard/files").iterdir())
BYTES_MAX = 200_000
FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 250
_NAMESPACE = "http://www.w3.org/2000/svg"
# What reads text as markup or code, or needs an exception of the security policy.
_FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|document\.write|DOMParser"
    r"|srcdoc|\beval\b|new Function|\bstyle=|\bon[a-z]+=\"|setAttribute\(\"(?:style|on)"
)
files = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def functions(source: str) -> list[tuple[str, int]]:
    """Return the functions at the margin of a module, with their lengths in lines."""
    found = re.finditer(
        r"^(?:export )?(?:async )?function (\w+).*?^}$", source, re.MULTILINE | re.DOTALL
    )
    return [(match[1], match[0].count("\n") + 1) for match in found]


def test_the_dashboard_has_less_than_200_kb() -> None:
    assert 0 < sum(path.stat().st_size for path in FILES) < BYTES_MAX


@files
def test_a_file_asks_no_other_host(path: Path) -> None:
    text = path.read_text().replace(_NAMESPACE, "")

    assert re.findall(r"(?:https?:)?//\w[\w.]*\.\w+", text) == []


@files
def test_a_file_reads_nothing_as_markup_or_code(path: Path) -> None:
    assert _FORBIDDEN.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name
)
def test_a_script_begins_with_what_it_is_for_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("// ")
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    assert [name for name, lines in functions(text) if lines > FUNCTION_LINES_MAX] == []


def test_a_long_function_is_found() -> None:
    source = "export async function f() {\n" + "  g();\n" * 60 + "}\n"

    assert functions(source) == [("f", 62)]


def test_the_wheel_has_every_file_of_the_dashboard(tmp_path: Path) -> None:
    built = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))

    with zipfile.ZipFile(built) as wheel:
        packed = {name: wheel.read(name) for name in wheel.namelist() if "dashboard/files" in name}
    assert packed == {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in FILES}
