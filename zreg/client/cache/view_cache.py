"""Keep the views of one client on disk: read when a subscription begins, written in the background.

A subscription reads its file on the thread of the program, once, since the program has the view
with the return of `subscribe`. All writes are made on a thread of the cache: at most one for each
view in a second, and only of what changed.
"""

import atexit
import logging
import math
import threading
import time
import weakref
from typing import Final

from zreg.client.cache.view_files import ViewFiles
from zreg.client.signal_safe_condition import SignalSafeCondition
from zreg.client.view.view import View
from zreg.model import DataInfoId, Scope
from zreg.reactor.log_lines import LogLines
from zreg.wire.cached_view import CachedView, CachedViewError

# The datum and the scope of a view.
Followed = tuple[DataInfoId, Scope]

# The pause after the writes of one look: views change in bursts.
PAUSE_SECONDS: Final = 1.0
# A view that does not change is written again after this time, so that the age which the next
# program sees is about right even if this one is killed.
REFRESH_SECONDS: Final = 60.0
# How long the last writes of a client that ends may take.
FLUSH_SECONDS_MAX: Final = 1.0
# A view that was confirmed at most so much later, and is otherwise the same, is not written again.
_SAME_SECONDS: Final = 1.0


class ViewCache:
    """The views of one client that sessions confirm, and those that are to be written.

    Invariants:
    - `_changed` guards all attributes and is never held during a read or write. It may be taken
      under the lock of the runtime; the thread of the cache takes no other lock.
    - `_live` holds the newest view of each followed name that a session confirms now.
    - It never refers to the runtime, so a client that the program drops can be collected.
    - The thread begins with the first view to write, and ends when the client is closed.
    """

    def __init__(self, files: ViewFiles, log_lines: LogLines) -> None:
        self._files = files
        self._log_lines = log_lines
        self._follower_counts: dict[Followed, int] = {}
        self._is_closed = False
        # Whether the last writes failed; further failures are then not logged.
        self._is_failing = False
        self._too_large: set[Followed] = set()
        # Whether files may have come or grown since the directory was trimmed.
        self._is_trim_due = True
        self._reset()
        _caches.add(self)

    def _reset(self) -> None:
        # Its lock can be taken again: a finalizer of the program may subscribe on this thread.
        self._changed = SignalSafeCondition()
        self._live: dict[Followed, View] = {}
        self._pending: dict[Followed, View] = {}
        # What was written last, and when it was confirmed.
        self._written: dict[Followed, tuple[View, float]] = {}
        self._pause_until = 0.0
        self._refresh_at = math.inf
        self._deadline = math.inf
        self._is_paused = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        """Show the directory and what waits."""
        return f"<ViewCache {str(self._files.directory)!r} waiting={len(self._pending)}>"

    # --- what a subscription uses -----------------------------------------------------------

    def load(self, followed: Followed) -> View | None:
        """Return the last known view, marked stale and cached; None if there is none.

        A file that cannot be used costs a warning, and is written anew with the next view.
        """
        now = time.monotonic()
        with self._changed:
            recent = self._live.get(followed) or self._pending.get(followed)
        if recent is not None:
            return recent.as_cached(now if recent.stale_since is None else recent.stale_since)
        key = self._files.key(*followed)
        try:
            cached = self._files.read(key)
        except OSError as error:
            self._warn("ignored", f"{self._files.path(key)} cannot be read ({error.strerror})")
        except CachedViewError as error:
            self._warn("ignored", f"{self._files.path(key)} {error}")
        else:
            return None if cached is None else _view_of(cached, now)
        return None

    def follow(self, followed: Followed) -> None:
        """Note one more subscription of this view."""
        with self._changed:
            self._follower_counts[followed] = self._follower_counts.get(followed, 0) + 1

    def leave(self, followed: Followed) -> None:
        """Note that a subscription has ended; after the last one its view is written once more."""
        with self._changed:
            count = self._follower_counts.pop(followed, 0) - 1
            if count > 0:
                self._follower_counts[followed] = count
            else:
                self.lose(followed)

    def note(self, followed: Followed, view: View) -> None:
        """Have a view written soon that a session confirms."""
        with self._changed:
            if not (self._is_closed or self._is_paused):
                self._live[followed] = view
                self._put(followed, view)

    def lose(self, followed: Followed) -> None:
        """Note that no session confirms the view any more."""
        with self._changed:
            view = self._live.pop(followed, None)
            if view is not None:
                self._put(followed, view.with_staleness(time.monotonic()))

    # --- the life of the client -------------------------------------------------------------

    @property
    def is_flushed(self) -> bool:
        """Whether nothing is to be written, or the time for it is over."""
        return self._thread is None or not self._thread.is_alive()

    def close(self) -> None:
        """Have the last views written within a second, and end; a second call does nothing."""
        with self._changed:
            for followed in list(self._live):
                self.lose(followed)
            if not self._is_closed:
                self._is_closed = True
                self._deadline = time.monotonic() + FLUSH_SECONDS_MAX
                self._changed.notify_all()

    def join(self, timeout_seconds: float) -> None:
        """Wait until a closed cache has written everything."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def on_forked(self) -> None:
        """Write nothing in a forked child, until it uses the client."""
        self._reset()
        self._is_paused = True

    def begin_in_child(self) -> None:
        """Write what the sessions of a forked child confirm."""
        self._is_paused = False

    # --- the thread -------------------------------------------------------------------------

    def _put(self, followed: Followed, view: View) -> None:
        if not self._pending:
            # If there is something to write already, the thread waits for the end of its pause.
            self._changed.notify_all()
        self._pending[followed] = view
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._run, name="zreg-cache", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be started now: the next view tries again
            return
        self._thread = thread
        self._refresh_at = time.monotonic() + REFRESH_SECONDS

    def _run(self) -> None:
        while batch := self._next_batch():
            self._write_all(batch)

    def _next_batch(self) -> dict[Followed, View]:
        """Wait for views to write and return them; none once the cache is closed."""
        with self._changed:
            while not self._is_closed and (seconds := self._seconds_left()) > 0:
                self._changed.wait(min(seconds, threading.TIMEOUT_MAX))
            batch, self._pending = self._pending, {}
            return batch

    def _seconds_left(self) -> float:
        """Return how long to wait for the next write; put the views that are due again."""
        now = time.monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_SECONDS
            self._pending = {**self._live, **self._pending}
            self._is_trim_due = True
        return (self._pause_until if self._pending else self._refresh_at) - now

    def _write_all(self, batch: dict[Followed, View]) -> None:
        failure: OSError | None = None
        for followed, view in batch.items():
            if time.monotonic() > self._deadline:
                return
            try:
                self._write(followed, view)
            except OSError as error:  # one file may be in the way, and the others writable
                failure = failure or error
            if followed not in self._follower_counts:
                self._written.pop(followed, None)
                self._too_large.discard(followed)
        try:
            self._trim()
        except OSError as error:
            failure = failure or error
        if failure is not None:
            self._on_failure(failure)
        else:
            self._is_failing = False
        with self._changed:
            self._pause_until = time.monotonic() + PAUSE_SECONDS

    def _trim(self) -> None:
        if self._is_trim_due:
            self._is_trim_due = False
            self._files.trim()

    def _write(self, followed: Followed, view: View) -> None:
        """Write a view, unless the file has it."""
        confirmed_at = _wall_clock() - view.age_seconds
        written = self._written.get(followed)
        if (
            written is not None
            and view.has_publishers_of(written[0])
            and confirmed_at - written[1] < _SAME_SECONDS
        ):
            return
        key = self._files.key(*followed)
        try:
            self._files.write(CachedView(key, confirmed_at, view.version, view.records))
        except CachedViewError as error:
            if followed not in self._too_large:
                self._too_large.add(followed)
                self._warn("left_out", f"the view of {followed[0]} {error}: it is not cached")
        self._is_trim_due = self._is_trim_due or written is None
        self._written[followed] = view, confirmed_at

    def _on_failure(self, error: OSError) -> None:
        """Log the first of several failures in succession."""
        if not self._is_failing:
            self._is_failing = True
            self._warn(
                "failed",
                f"{self._files.directory} cannot be written ({error.strerror}): name another "
                "cache_dir, or let this user write there; until then no view is cached",
            )

    def _warn(self, event: str, detail: str) -> None:
        self._log_lines.write(
            "zreg.client", logging.WARNING, f"client.cache.{event} detail={detail!r}"
        )


# Those that are not garbage, for the end of the process.
_caches: "weakref.WeakSet[ViewCache]" = weakref.WeakSet()


def _end() -> None:
    """Write the last views of a program that ends without closing its clients."""
    caches = list(_caches)
    for cache in caches:
        cache.close()
    deadline = time.monotonic() + FLUSH_SECONDS_MAX
    for cache in caches:
        cache.join(max(0.0, deadline - time.monotonic()))


atexit.register(_end)


def _wall_clock() -> float:
    """Return Unix time: the clock that the process before and the next one have in common."""
    return time.time()  # noqa: TID251 -- monotonic time begins anew with the machine


def _view_of(cached: CachedView, now: float) -> View:
    """Return the view, as stale as it is by the clock of this machine."""
    age_seconds = max(0.0, _wall_clock() - cached.confirmed_at)
    return View.from_records(cached.publishers, cached.version).as_cached(now - age_seconds)
