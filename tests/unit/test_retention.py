"""Which files of a cache directory stay: the newest, within the limits."""

from hypothesis import given
from hypothesis import strategies as st

from zreg.client.cache.retention import StoredFile, surplus

FILES = [StoredFile(f"f{n}", 10, float(n)) for n in range(5)]


def test_nothing_goes_within_the_limits() -> None:
    assert surplus(FILES, files_max=5, bytes_max=50) == []


def test_the_oldest_files_go_first() -> None:
    assert surplus(FILES, files_max=3, bytes_max=1000) == ["f1", "f0"]
    assert surplus(FILES, files_max=9, bytes_max=25) == ["f2", "f1", "f0"]


@given(
    st.lists(st.builds(StoredFile, st.uuids().map(str), st.integers(0, 50), st.floats(0, 9))),
    st.integers(0, 9),
    st.integers(0, 100),
)
def test_what_stays_is_within_the_limits_and_newer_than_what_goes(
    files: list[StoredFile], files_max: int, bytes_max: int
) -> None:
    gone = set(surplus(files, files_max=files_max, bytes_max=bytes_max))

    stay = [file for file in files if file.name not in gone]
    assert len(stay) <= files_max
    assert sum(file.bytes for file in stay) <= bytes_max
    oldest = min((file.written_at for file in stay), default=9.0)
    assert all(file.written_at <= oldest for file in files if file.name in gone)
