"""The result of applying one command to the state."""

import msgspec

from zreg.model import Member


class Applied(msgspec.Struct, frozen=True):
    """What one command did; a refusal has a code and a sentence."""

    is_changed: bool = False
    code: int = 0
    detail: str = ""
    # The member that came or went because of the command.
    member: Member | None = None
    # The epoch at which a setting was changed. A repeated change gets that of the first time.
    version: int = 0
