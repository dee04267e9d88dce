"""A session that is no member any more sends its clients away, after a while and repeatedly."""

from zreg.session.membership_loss import MembershipLoss


def test_a_member_sends_no_client_away() -> None:
    loss = MembershipLoss(now=0.0)
    loss.on_joined()

    assert not loss.is_lost
    assert not loss.is_lasting(100.0)
    assert not loss.is_send_away_due(100.0)
    assert loss.next_tick_at() is None


def test_clients_are_sent_away_once_the_loss_has_lasted_and_again_after_a_pause() -> None:
    loss = MembershipLoss(now=0.0)
    loss.on_lost(10.0)
    loss.on_lost(11.0)

    assert loss.next_tick_at() == 12.0
    assert not loss.is_lasting(11.9)
    assert not loss.is_send_away_due(11.9)
    assert loss.is_lasting(12.0)
    assert loss.is_send_away_due(12.0)

    loss.on_sent_away(12.0)
    assert loss.is_lasting(12.0)
    assert not loss.is_send_away_due(13.9)
    assert loss.is_send_away_due(14.0)


def test_a_session_that_joins_again_keeps_its_clients() -> None:
    loss = MembershipLoss(now=0.0)
    loss.on_lost(10.0)

    loss.on_joined()

    assert not loss.is_lasting(20.0)
    assert not loss.is_send_away_due(20.0)


def test_a_session_that_was_never_admitted_sends_its_clients_away_more_patiently() -> None:
    loss = MembershipLoss(now=10.0)

    assert not loss.is_send_away_due(14.9)
    assert loss.is_send_away_due(15.0)
    loss.on_sent_away(15.0)
    assert not loss.is_send_away_due(24.9)
    assert loss.is_send_away_due(25.0)
    assert not loss.is_lasting(25.0), "it lost nothing, and serves reads"
