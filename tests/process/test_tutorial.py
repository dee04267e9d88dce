"""docs/tutorial.md works as it is printed, in terminals."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import first_free_port
from page_blocks import Terminal, blocks_of

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"
DEFAULT_PORT = "9600"


@pytest.mark.timeout(120)
def test_each_step_of_the_tutorial_shows_what_the_page_says(tmp_path: Path) -> None:
    port = str(first_free_port(1))
    folder = tmp_path / "tutorial"
    folder.mkdir()
    environment = {"ZREG_URL": f"zreg://127.0.0.1:{port}"}
    terminals: dict[str, Terminal] = {}
    with ExitStack() as stack:
        for language, title, text in blocks_of(PAGE):
            assert title, "each block is a file, is typed, or is shown"
            if language == "python":
                (folder / title).write_text(text)
                continue
            if title not in terminals:
                terminals[title] = stack.enter_context(Terminal(title, folder, environment))
            if language == "sh":
                terminals[title].enter(text.replace("zreg dev\n", f"zreg dev --port {port}\n"))
                continue
            for line in text.splitlines():
                terminals[title].wait_shown(line.replace(DEFAULT_PORT, port))


def test_the_tutorial_ends_with_a_kill() -> None:
    typed = [block.text for block in blocks_of(PAGE, "sh")]

    assert typed[0] == "zreg dev\n"
    assert typed[-1] == "kill -9 %1\n"
