"""The kept digest of a view is that of a view that is read anew, whatever has changed."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_fakes import D1, PAY, make_publisher

from zreg.model import ZERO, Cause, Removal, Scope, Version
from zreg.primitives.digest import view_digest
from zreg.session.clients.pushes import view_digests
from zreg.session.clients.pushes.subscriber import Visibility, sees
from zreg.session.clients.pushes.view_digests import ViewDigests
from zreg.session.upstream.followed.followed_datum import FollowedDatum

EVERYTHING: Visibility = (Scope.GLOBAL, "", "")
ZONE_1: Visibility = (Scope.ZONE, "z1", "dc1")


class Followed:
    """A followed datum that is changed, step by step."""

    def __init__(self) -> None:
        self.datum = FollowedDatum(PAY, D1, 0.0)
        self.datum.mirror.snapshot(Version(1, 1), ())
        self.counter = 1
        self.settle()

    def put(self, number: int, version: int, zone: str = "z1") -> None:
        publisher = make_publisher(number, version, zone=zone, body=b"%d" % (version // 2))
        self.change([publisher], [])

    def remove(self, number: int, version: int) -> None:
        publisher_id = make_publisher(number).publisher_id
        self.change([], [Removal(publisher_id, version, Cause.UNPUBLISHED)])

    def change(self, publishers: list, removals: list) -> None:  # type: ignore[type-arg]
        source = self.datum.mirror.version
        self.counter += 1
        self.datum.mirror.hint(source, Version(1, self.counter), publishers, removals)

    def settle(self) -> None:
        difference = self.datum.mirror.take_difference()
        if difference.version > difference.source_version:
            self.datum.log.append(difference, 0.0)

    def anew(self, visibility: Visibility) -> int:
        content = self.datum.mirror.content.values()
        return view_digest(each for each in content if sees(visibility, each))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_kept_digest_follows_the_changes(seed: int) -> None:
    rng = Random(seed)
    followed, digests = Followed(), ViewDigests()
    for _ in range(40):
        for _ in range(rng.randint(1, 4)):
            number, version = rng.randint(1, 4), rng.randint(1, 20)
            if rng.random() < 0.7:
                followed.put(number, version, zone=rng.choice(("z1", "z2")))
            else:
                followed.remove(number, version)
        followed.settle()
        if rng.random() < 0.1:
            followed.datum.log.clear()
        for visibility in (EVERYTHING, ZONE_1):
            if rng.random() < 0.7:
                assert digests.present(followed.datum, visibility) == followed.anew(visibility)


def test_a_view_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    def counting(publishers: object) -> int:
        reads.append(1)
        return view_digest(publishers)  # type: ignore[arg-type]

    monkeypatch.setattr(view_digests, "view_digest", counting)
    followed, digests = Followed(), ViewDigests()
    for version in range(1, 6):
        followed.put(1, 2 * version)
        followed.settle()
        digests.present(followed.datum, EVERYTHING)
        digests.present(followed.datum, EVERYTHING)
    assert reads == [1]

    digests.forget(PAY)
    digests.present(followed.datum, EVERYTHING)
    assert reads == [1, 1]


def test_a_datum_without_a_version_has_the_digest_of_nothing() -> None:
    datum = FollowedDatum(PAY, D1, 0.0)

    assert datum.mirror.version == ZERO
    assert ViewDigests().present(datum, EVERYTHING) == 0
