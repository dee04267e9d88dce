"""What a program wants to be registered, given what is registered already."""

from zreg.config import Config
from zreg.errors import PeerError
from zreg.model import Incarnation, Publisher, http_client_id, same_to_subscribers
from zreg.session.instances.instance_questions import Outcome, RegisterInstance
from zreg.wire.body import unpack_body


def wanted(
    question: RegisterInstance,
    known: Publisher | None,
    *,
    session: Incarnation,
    version: int,
    config: Config,
) -> tuple[Publisher, Outcome]:
    """Return the publisher that a program asks for, and what that does to the known one.

    If nothing is changed, subscribers see no difference: the body stays as it was packed, and a
    label that the program does not name stays, also if another session with other labels takes
    the instance over.
    """
    body = question.body
    labels = (config.zone, config.data_center, "")
    if known is not None:
        labels = (known.zone, known.data_center, known.app)
        if _is_same(known.body, body):
            body = known.body
    named = (question.zone, question.data_center, question.app)
    zone, data_center, app = (
        label if each is None else each for each, label in zip(named, labels, strict=True)
    )
    publisher_id = question.publisher_id
    client_id = http_client_id(publisher_id)
    publisher = Publisher(publisher_id, version, client_id, session, zone, data_center, app, body)
    if known is None:
        return publisher, "registered"
    return publisher, "renewed" if same_to_subscribers(publisher, known) else "updated"


def _is_same(left: bytes, right: bytes) -> bool:
    """Return whether two bodies have the same values and attributes, packed at any time."""
    if left == right:
        return True
    try:
        return unpack_body(left)[1:] == unpack_body(right)[1:]
    except PeerError:
        return False
