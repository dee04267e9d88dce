"""`zreg completion`: the script with which a shell completes `zreg` commands."""

import enum
import os
from typing import Annotated, Final

import typer

from zreg.cli.output import say

# The variable by which the script asks `zreg` what may follow.
_VARIABLE: Final = "_ZREG_COMPLETE"


class Shell(enum.StrEnum):
    """The shells that have a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Shell whose script to write.")],
) -> None:
    """Write the completion script of a shell: eval "$(zreg completion bash)"."""
    from typer import completion as scripts  # noqa: PLC0415 -- no other command needs it

    script = scripts.get_completion_script(  # type: ignore[attr-defined]  # not listed there
        prog_name="zreg", complete_var=_VARIABLE, shell=shell.value
    )
    if shell is Shell.ZSH:
        # Without a completion system, as in a plain zsh, there is no `compdef`.
        script = f"(( $+functions[compdef] )) || {{ autoload -Uz compinit; compinit; }}\n{script}"
    say(script)


def prepare_completion() -> None:
    """Let typer answer a completion script, if one asks."""
    if _VARIABLE in os.environ:
        from typer import completion as scripts  # noqa: PLC0415 -- no command needs it

        scripts.completion_init()  # type: ignore[attr-defined]  # not listed there
