"""Log lines that many peers cause: the first is written, and again after a minute."""

from zreg.primitives.timing.log_pause import PAUSE_SECONDS, LogPause


def test_a_line_is_due_at_first_and_again_after_the_pause() -> None:
    pause = LogPause()
    times = (0.0, 0.5, PAUSE_SECONDS - 0.1, PAUSE_SECONDS, PAUSE_SECONDS + 1.0)

    assert [pause.take("full", now) for now in times] == [True, False, False, True, False]


def test_each_key_has_a_pause_of_its_own() -> None:
    pause = LogPause()

    assert pause.take("one", 0.0)
    assert pause.take("two", 0.0)


def test_keys_that_peers_choose_fill_no_memory() -> None:
    pause = LogPause()
    for number in range(1000):
        pause.take(str(number), 0.0)

    assert len(pause._written_at) == 64
