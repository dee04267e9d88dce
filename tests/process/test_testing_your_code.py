"""The examples of docs/testing-your-code.md are files of a project whose tests pass."""

import re
from pathlib import Path

import pytest
from test_pytest_plugin import Run, run

__all__ = ["run"]

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing-your-code.md"


def test_the_examples_pass(pytester: pytest.Pytester, run: Run) -> None:
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == PAGE.read_text().count("```python")
    tests = 0
    for name, text in blocks:
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        tests += text.count("def test_")

    result = run("", "--import-mode=importlib", "-o", "pythonpath=.")

    result.assert_outcomes(passed=tests)


def test_each_fixture_and_method_that_the_page_names_exists() -> None:
    from zreg.testing import FakeRegistry, pytest_plugin  # noqa: PLC0415 -- after the plugin

    text = PAGE.read_text()
    methods = set(re.findall(r"registry\.(\w+)\(", text))
    fixtures = set(re.findall(r"^\| `(zreg_\w+)` \|", text, re.MULTILINE))

    assert {name for name in methods if not hasattr(FakeRegistry, name)} == set()
    public = {name for name in vars(FakeRegistry) if not name.startswith("_")} - {
        "close",
        "clients",
    }
    assert public - methods == set()
    assert fixtures == {name for name in vars(pytest_plugin) if name.startswith("zreg_")}
