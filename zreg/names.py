"""Which characters a name may have: one rule, wherever a name enters.

A name is an id, the name of a setting, a cluster or a node, or a label. All of its characters must
be visible, and two names that look the same must be the same. Otherwise a zero-width space from a
copied text, or a byte order mark from a file, makes another name that nothing on a screen shows.

The rule holds where a name enters: flag, file, variable, call, or request on the wire. Names that
were accepted once stay readable, in journals and between nodes.
"""

import re
import unicodedata
from typing import Final

import msgspec

from zreg.errors import UsageError

# Letters, marks, numbers, punctuation and symbols are visible, and `str.isprintable` is true for
# these and for a space only. These characters of the same categories are drawn as nothing or as a
# blank. Source: Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties.txt, the blank
# braille pattern, the object replacement character and the null notehead.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    "\U0001d159\U000e0100-\U000e01ef]"
)
_BLANK: Final = " "
_SHOWN_MAX: Final = 80


class NameRule(msgspec.Struct, frozen=True, kw_only=True):
    """The rule of one kind of name; `advice` tells people what to write."""

    characters_max: int
    advice: str
    # Characters that have a meaning of their own where such a name is written.
    reserved: str = ""
    # A label may be empty, and may have single blanks inside.
    is_label: bool = False

    def check(self, what: str, name: str) -> str:
        """Return the name if it is allowed; `UsageError` says why it is not, and what to write."""
        objection = self.objection(name)
        if objection is None:
            return name
        reason = f"; {objection}" if objection else ""
        raise UsageError(f"{what} {_shown(name)} cannot be used: {self.advice}{reason}")

    def objection(self, name: str) -> str | None:
        """Return why a name is not allowed, empty if `advice` says it all; None if it is."""
        if not isinstance(name, str):
            return "this is no text"
        if not name:
            return None if self.is_label else ""
        is_too_long = len(name) > self.characters_max
        if is_too_long or any(character in self.reserved for character in name):
            return ""
        if name.isascii() and name.isprintable() and _BLANK not in name:
            # Most names, and the fast way.
            return None
        return self._objection_to_characters(name)

    def _objection_to_characters(self, name: str) -> str | None:
        for character in name:
            if not character.isprintable() or _INVISIBLE.match(character):
                return f"this one has {_described(character)}"
        if _BLANK in name and not self.is_label:
            return ""
        if name != name.strip() or _BLANK * 2 in name:
            return "this one has a blank at an end, or two in a row"
        if unicodedata.category(name[0]).startswith("M"):
            return f"this one begins with a mark that has no letter, {_described(name[0])}"
        if not unicodedata.is_normalized("NFC", name):
            return "this one has letters and their marks apart: normalize it to NFC"
        return None


def refused_name(*named: tuple[NameRule, str, str]) -> str | None:
    """Return why the first name that is not allowed is not, for an answer; None if all are.

    Each of `named` is a rule, what the name is, and the name.
    """
    for rule, what, name in named:
        try:
            rule.check(what, name)
        except UsageError as error:
            return str(error)
    return None


def _described(character: str) -> str:
    """Return a character for people who cannot see it."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" {name}" if name else "")


def _shown(name: object) -> str:
    """Return a name as text in quotes, with everything escaped that cannot be seen."""
    if not isinstance(name, str):
        return f"{name!r:.80}"
    text = name[:_SHOWN_MAX]
    return ascii(text) if _INVISIBLE.search(text) else repr(text)
