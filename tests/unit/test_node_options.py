"""The names of settings: no two are alike, and an unknown variable is reported."""

import pytest

from zreg.cli.options.node_options import (
    CONFIG_FIELDS,
    OPTION_FIELDS,
    flag,
    unknown_variables,
    variable,
)


def test_no_two_settings_share_a_name() -> None:
    names = [*CONFIG_FIELDS, *OPTION_FIELDS]

    assert len({flag(name) for name in names}) == len(names)
    assert len({variable(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("variable_", "hint"),
    [
        ("ZREG_LEASE_SECOND", "did you mean ZREG_LEASE_SECONDS?"),
        ("ZREG_META", "did you mean ZREG_META_ADDRESSES?"),
        ("ZREG_ULR", "did you mean ZREG_URL?"),
        ("ZREG_XYZZY", "docs/configuration.md lists all settings"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(variable_: str, hint: str) -> None:
    (warning,) = unknown_variables({variable_: "3", "PATH": "/bin", "ZREG_URL": "zreg://h"})

    assert warning == f"the variable {variable_} is unknown and ignored: {hint}"


def test_all_variables_of_nodes_and_clients_are_known() -> None:
    names = [*map(variable, (*CONFIG_FIELDS, *OPTION_FIELDS)), "ZREG_URL", "ZREG_APP"]

    assert unknown_variables(dict.fromkeys(names, "x")) == []
