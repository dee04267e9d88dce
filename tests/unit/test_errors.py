"""Codes are part of the protocol: they never change their meaning."""

import builtins

import pytest

from zreg import errors
from zreg.errors import REFUSALS, PeerError, RefusedError, refusal

# ONLY APPEND. Code 12 was used by an earlier draft and stays reserved.
PINNED_CODES = {
    1: "RefusedError",
    2: "DeniedError",
    3: "NotPrimaryError",
    4: "LimitError",
    5: "NotReadyError",
    6: "MalformedError",
    7: "UnknownMessageError",
    8: "SessionGoneError",
    9: "NodeIdInUseError",
    10: "ForeignClusterError",
    11: "ProtocolVersionError",
    13: "UnknownNodeError",
    14: "NotLeaderError",
    15: "VersionMismatchError",
}


def test_codes_keep_their_meaning() -> None:
    assert {code: error.__name__ for code, error in REFUSALS.items()} == PINNED_CODES
    assert 12 not in REFUSALS, "the code is reserved"


def test_every_refusal_has_its_code() -> None:
    assert {RefusedError, *RefusedError.__subclasses__()} == set(REFUSALS.values())
    assert all(error.code == code for code, error in REFUSALS.items())


@pytest.mark.parametrize("code", REFUSALS)
def test_a_code_from_the_wire_becomes_its_error(code: int) -> None:
    error = refusal(code, "because")

    assert type(error) is REFUSALS[code]
    assert (error.code, error.detail, str(error)) == (code, "because", "because")


def test_an_unknown_code_keeps_its_number() -> None:
    error = refusal(99, "from the future")

    assert type(error) is RefusedError
    assert (error.code, error.detail) == (99, "from the future")
    assert RefusedError.code == 1


def test_a_peer_error_says_code_and_detail() -> None:
    error = PeerError(6, "not a frame")

    assert (error.code, error.detail, str(error)) == (6, "not a frame", "not a frame")


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (errors.UsageError, ValueError),
        (errors.TimeoutError, builtins.TimeoutError),
        (errors.NoInstanceError, LookupError),
    ],
)
def test_an_error_is_also_the_built_in_error_of_its_kind(
    ours: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(ours, builtin)


def test_every_error_class_derives_from_error() -> None:
    defined = [value for value in vars(errors).values() if isinstance(value, type)]

    assert all(issubclass(error, errors.Error) for error in defined)
