"""All characters of a name can be seen, and two names that look the same are the same."""

from collections.abc import Callable

import pytest

from zreg.config import CLUSTER_NAME, LABEL, Config
from zreg.errors import UsageError
from zreg.model import ID_PART, NODE_ID, SETTING_NAME, ZERO, Scope, checked_node_id, data_info_id
from zreg.names import NameRule, refused_name
from zreg.wire.codec import BadRecord, decode_frame, encode_frames
from zreg.wire.records.client_messages import Publish, Subscribe
from zreg.wire.records.settings_messages import SetSetting

RULES = (CLUSTER_NAME, ID_PART, LABEL, NODE_ID, SETTING_NAME)
INVISIBLE = {
    "orders\u200b": "U+200B ZERO WIDTH SPACE",
    "\ufefforders": "U+FEFF ZERO WIDTH NO-BREAK SPACE",
    "orders\u202egpj": "U+202E RIGHT-TO-LEFT OVERRIDE",
    "orders\u00ad": "U+00AD SOFT HYPHEN",
    "\u200d": "U+200D ZERO WIDTH JOINER",
    "orders\ue000": "U+E000",
    "orders\u0378": "U+0378",
    "a\u3164": "U+3164 HANGUL FILLER",
    "a\u2800": "U+2800 BRAILLE PATTERN BLANK",
    "a\u034f": "U+034F COMBINING GRAPHEME JOINER",
    "\u2764\ufe0f": "U+FE0F VARIATION SELECTOR-16",
    "a\U000e0041": "U+E0041 TAG LATIN CAPITAL LETTER A",
    "a\u00a0b": "U+00A0 NO-BREAK SPACE",
    "a\u3000b": "U+3000 IDEOGRAPHIC SPACE",
    "a\tb": "U+0009",
    "a\x1b": "U+001B",
    "a\udcff": "U+DCFF",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.advice[:40])
@pytest.mark.parametrize("name", ["com.acme.Pay", "größe", "注文", "हिन्दी", "\U0001f600", "a/b:c"])
def test_visible_characters_of_every_script_are_allowed(rule: NameRule, name: str) -> None:
    assert rule.check("name", name) == name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.advice[:40])
@pytest.mark.parametrize(("name", "character"), INVISIBLE.items(), ids=ascii)
def test_a_character_that_cannot_be_seen_is_refused_by_its_name(
    rule: NameRule, name: str, character: str
) -> None:
    with pytest.raises(UsageError) as caught:
        rule.check("name", name)

    text = str(caught.value)
    assert text.endswith(f"; this one has {character}")
    assert text.isprintable()


@pytest.mark.parametrize("name", ["e\u0301", "\u0301e", "\u1100\u1161"], ids=ascii)
def test_two_names_that_look_the_same_are_the_same(name: str) -> None:
    with pytest.raises(UsageError, match=r"normalize it to NFC|mark that has no letter"):
        ID_PART.check("data id", name)


def test_only_a_label_may_be_empty_and_have_single_blanks_inside() -> None:
    assert LABEL.check("zone", "") == ""
    assert LABEL.check("zone", "room 1") == "room 1"
    for label in (" room", "room ", "room  1"):
        with pytest.raises(UsageError, match="this one has a blank at an end, or two in a row"):
            LABEL.check("zone", label)
    for rule in (CLUSTER_NAME, ID_PART, NODE_ID, SETTING_NAME):
        for name in ("", "room 1"):
            with pytest.raises(UsageError, match=r"characters,? without blanks"):
                rule.check("name", name)


@pytest.mark.parametrize("node_id", ["a@1", "a=b", "a,b"])
def test_a_node_id_can_be_written_in_every_place_that_names_nodes(node_id: str) -> None:
    with pytest.raises(UsageError, match="without @ = ,"):
        checked_node_id(node_id)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match=r"data id 5 cannot be used: .* this is no text"):
        data_info_id(5)  # type: ignore[arg-type]


def refusal_on_the_wire(make: Callable[[str], object], name: str) -> str:
    """Return how a record with this name is refused by the decoder."""
    frame = encode_frames([make("NAME")])[0]  # type: ignore[list-item]
    plain = name.encode()
    assert len(plain) == len("NAME")
    (record,) = decode_frame(frame.replace(b"NAME", plain))
    assert isinstance(record, BadRecord)
    return record.detail


def test_the_same_rule_holds_for_calls_configuration_and_requests_on_the_wire() -> None:
    name = "a\u200b"
    said = r"; this one has U\+200B ZERO WIDTH SPACE"
    for call in (data_info_id, checked_node_id, lambda text: Config(cluster=text)):
        with pytest.raises(UsageError, match=said):
            call(name)

    def publish(text: str) -> Publish:
        return Publish(1, bytes(16), 1, data_info_id(text), b"")

    def subscribe(text: str) -> Subscribe:
        return Subscribe(1, data_info_id(text), Scope.ZONE, ZERO)

    def set_setting(text: str) -> SetSetting:
        return SetSetting(1, text, "1")

    for make in (publish, subscribe, set_setting):
        assert "; this one has U+200B ZERO WIDTH SPACE" in refusal_on_the_wire(make, name)


def test_a_setting_with_a_name_of_an_earlier_version_can_be_removed() -> None:
    record = SetSetting(1, "a\u200b", None)

    assert decode_frame(encode_frames([record])[0]) == [record]


def test_an_answer_names_the_first_name_that_is_refused() -> None:
    assert refused_name((NODE_ID, "node id", "data-1"), (LABEL, "zone", "")) is None
    refused = refused_name((NODE_ID, "node id", "data-1"), (LABEL, "zone", " a"))
    assert refused is not None
    assert refused.startswith("zone ' a' cannot be used: give a printable text")
