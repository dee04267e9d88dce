"""What a command says when no node answered: what failed, why, and what to do."""

import pytest

from zreg.cli.asking.ask import UnansweredError, no_answer_error
from zreg.cli.asking.ask_core import Findings
from zreg.cli.asking.targets import Target
from zreg.effects import Link
from zreg.errors import UnavailableError

SESSIONS = Target(Link.SESSION, ("tcp://one:9601", "tcp://two:9601"), "zreg")
META = Target(Link.META, ("tcp://one:9610",), "zreg")


def found(**reasons: str) -> Findings:
    findings = Findings()
    findings.reasons = {f"tcp://{name}:1": reason for name, reason in reasons.items()}
    return findings


def test_nodes_that_cannot_be_reached_are_named_with_the_reasons_and_what_to_check() -> None:
    error = no_answer_error(SESSIONS, found(one="refused", two="no answer"), {})

    assert type(error) is UnavailableError
    assert str(error).startswith("no node answered (one:1: refused; two:1: no answer): check host")
    assert "systemctl status 'zreg-session@*'" in str(error)


def test_the_advice_is_about_meta_where_meta_was_asked() -> None:
    assert "systemctl status 'zreg-meta@*'" in str(no_answer_error(META, found(one="refused"), {}))


def test_a_node_that_is_asked_at_its_own_address_may_be_of_any_role() -> None:
    node = Target(Link.EVENTS, ("tcp://one:9620",), "zreg")

    assert str(no_answer_error(node, found(one="no answer"), {})) == (
        "no node answered (one:1: no answer): look with `zreg nodes` whether it runs, and at "
        "firewalls between this machine and it"
    )


def test_a_question_that_may_have_been_acted_on_has_an_error_of_its_own() -> None:
    findings = found(one="no answer")
    findings.may_be_done = True
    findings.no_leader = "meta has no leader"

    error = no_answer_error(META, findings, {})

    assert type(error) is UnansweredError
    assert str(error).startswith("no node answered (one:1: no answer): try again, or check host")


def test_without_a_leader_the_error_says_that_meta_is_away() -> None:
    findings = found(one="meta has no leader")
    findings.no_leader = "meta has no leader: start meta-2"

    error = no_answer_error(META, findings, {})

    assert str(error) == "meta is away: meta has no leader: start meta-2"


def test_a_node_of_another_cluster_says_itself_what_to_do() -> None:
    findings = found(one="it is of cluster 'x': give --cluster")
    findings.is_incompatible = True

    error = no_answer_error(SESSIONS, findings, {})

    assert str(error) == "no node answered: one:1: it is of cluster 'x': give --cluster"


@pytest.mark.parametrize("target", [SESSIONS, META])
def test_every_error_without_an_answer_is_unreachable(target: Target) -> None:
    assert isinstance(no_answer_error(target, found(one="lost"), {}), UnavailableError)


def test_a_name_that_does_not_resolve_is_said_to_be_that() -> None:
    error = no_answer_error(META, found(one="one does not resolve: Name or service not known"), {})

    assert str(error) == (
        "no node was asked (one:1: one does not resolve: Name or service not known): correct the "
        "name, or the name service of this machine"
    )
