"""Forked children: what the parent goes on with, and what a child begins afresh."""

import importlib.util

import pytest
from fake_session import FakeSession, run_program, wait_until

from zreg.wire.records.client_messages import Bye, Publish
from zreg.wire.records.settings_messages import Setting

# A parent with a client, a publication and a subscription; `in_child` is the text of the test.
PARENT = """
import os, sys, threading, time, zreg

client = zreg.Client(sys.argv[1], cluster='test')
pub = client.publish('pay', 'parent').wait_registered(10)
everywhere = client.publish('load', 'each', in_children=True).wait_registered(10)
sub = client.subscribe('pay').wait_for(1, timeout_seconds=10)
threads_before = threading.active_count()

def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, (client, client.statistics())
        time.sleep(0.002)

def run_in_child(call):
    child = os.fork()
    if child == 0:
        try:
            call()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7, status
"""


def run_parent(text: str, session: FakeSession) -> None:
    done, _ = run_program(PARENT + text, session.url)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_child_begins_afresh_with_its_first_use_and_the_parent_goes_on(
    session: FakeSession,
) -> None:
    run_parent(
        """
parent_id = client.client_id
def in_child():
    assert client.state is zreg.ClientState.CONNECTING, client
    own = client.publish('pay', 'child').wait_registered(10)
    assert client.client_id != parent_id
    until(lambda: set(sub.view.values) == {'parent', 'child'})
    # This session does not act on a goodbye.
    own.unpublish()
    until(lambda: sub.view.values == ('parent',))
    client.close()
run_in_child(in_child)
pub.republish('again')
pub.wait_registered(10)
until(lambda: sub.view.values == ('again',))
assert client.client_id == parent_id
""",
        session,
    )
    assert len({hello.client_id for hello in session.core.clients.values()}) == 2
    wait_until(lambda: session.core.count(Bye) == 2)


def test_a_child_has_the_view_of_its_parent_at_once_and_marks_it_stale(
    session: FakeSession,
) -> None:
    run_parent(
        """
def in_child():
    view = sub.view
    assert (view.values, view.is_known, view.is_stale) == (('parent',), True, True), view
    until(lambda: not sub.view.is_stale)
run_in_child(in_child)
""",
        session,
    )


def test_what_vanished_since_the_fork_is_removed_and_callbacks_are_told(
    session: FakeSession,
) -> None:
    run_parent(
        """
changes = []
second = client.publish('pay', 'second').wait_registered(10)
sub(changes.append)
until(lambda: changes and len(sub.view) == 2)
r, w = os.pipe()
def in_child():
    # Only when the parent has withdrawn its second publisher.
    assert os.read(r, 1) == b'x'
    before = len(changes)
    until(lambda: not sub.view.is_stale)
    assert sub.view.values == ('parent',), sub.view.values
    until(lambda: len(changes) > before)
    assert [p.values for p in changes[-1].removed] == [('second',)], changes[-1]
child = os.fork()
if child == 0:
    try:
        in_child()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(7)
second.unpublish()
until(lambda: sub.view.values == ('parent',))
os.write(w, b'x')
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
""",
        session,
    )


def test_a_child_publishes_only_what_is_meant_for_children(session: FakeSession) -> None:
    run_parent(
        """
ids = pub.publisher_id, everywhere.publisher_id
def in_child():
    assert 'of the parent process' not in repr(pub)
    everywhere.wait_registered(10)
    assert 'of the parent process' in repr(pub)
    assert (pub.publisher_id == ids[0], everywhere.publisher_id == ids[1]) == (True, False)
    assert (pub.is_registered, everywhere.is_registered) == (False, True)
    pub.unpublish()
    try:
        pub.wait_registered(10)
    except zreg.UsageError as error:
        assert "the parent's of this forked process" in str(error)
    else:
        raise AssertionError
    pub.republish('child')
    pub.wait_registered(10)
    assert pub.publisher_id != ids[0]
    until(lambda: set(sub.view.values) == {'parent', 'child'})
    client.close()
run_in_child(in_child)
assert pub.is_registered and sub.view.values
""",
        session,
    )
    loads = [
        m for m in session.core.received if isinstance(m, Publish) and "load" in m.data_info_id
    ]
    assert len({each.publisher_id for each in loads}) == 2


def test_a_child_without_descriptors_at_its_first_use_begins_with_a_later_one(
    session: FakeSession,
) -> None:
    run_parent(
        """
import resource
checked = client.publish('checked', 'c', in_children=True, health=lambda: True)
called = []
client.subscribe('pay', called.append)
def in_child():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, limits[1]))
    for _ in range(3):
        try:
            client.publish('late', 'x')
        except zreg.UnavailableError as error:
            assert 'descriptors' in str(error), error
        else:
            raise AssertionError
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    client.publish('pay', 'child').wait_registered(10)
    everywhere.wait_registered(10)
    checked.wait_registered(10)
    until(lambda: set(sub.view.values) == {'parent', 'child'})
    until(lambda: called and set(called[-1].view.values) == {'parent', 'child'})
    client.close()
run_in_child(in_child)
""",
        session,
    )


def test_a_child_that_does_not_use_the_client_has_no_thread_and_says_nothing(
    session: FakeSession,
) -> None:
    run_parent(
        """
def in_child():
    assert threading.active_count() == 1
    client.state, repr(client), repr(pub), repr(sub), pub.is_registered
    with pub, sub:
        pass
    client.close()
    client.close()
    assert threading.active_count() == 1
    try:
        client.publish('pay', 'late')
    except zreg.ClosedError as error:
        assert 'this client was closed' in str(error)
    else:
        raise AssertionError
run_in_child(in_child)
pub.republish('again')
pub.wait_registered(10)
""",
        session,
    )
    assert len(session.core.clients) == 1


def test_a_child_goes_on_with_an_iterator_and_a_service_of_its_parent(
    session: FakeSession,
) -> None:
    run_parent(
        """
orders = client.service('orders')
client.publish('orders', zreg.Endpoint('h', 1), in_children=True)
orders.wait_up(1, timeout_seconds=10)
changes = sub.changes()
next(changes)
def in_child():
    assert orders.pick().address == 'h:1'
    orders.wait_up(1, timeout_seconds=10)
    client.publish('pay', 'child')
    assert 'child' in next(changes).view.values
run_in_child(in_child)
""",
        session,
    )


def test_children_of_a_busy_parent_never_hang(session: FakeSession) -> None:
    run_parent(
        """
busy = [client.publish('busy', str(n)) for n in range(200)]
seen = []
client.subscribe('busy', seen.append)
def publish_on():
    n = 0
    while not stop.is_set():
        n += 1
        for each in busy:
            each.republish(str(n))
        each.wait_registered(10)
stop = threading.Event()
thread = threading.Thread(target=publish_on)
thread.start()
for _ in range(10):
    run_in_child(lambda: client.publish('pay', 'child').wait_registered(10))
stop.set()
thread.join()
for each in busy:
    each.wait_registered(10)
""",
        session,
    )


@pytest.mark.parametrize("loads", ["", "zreg.Client", "zreg.Client; zreg.Service"])
def test_a_hook_of_the_program_may_use_a_client_in_the_child(
    session: FakeSession, loads: str
) -> None:
    """It was added before the first client was made, and so before what runs clients was loaded."""
    done, _ = run_program(
        f"""
import os, sys, zreg
{loads}
os.register_at_fork(after_in_child=lambda: client.publish('load', 'child'))
client = zreg.Client(sys.argv[1], cluster='test').wait_connected(10)
child = os.fork()
if child == 0:
    own = client.publish('load', 'child').wait_registered(10)
    client.close()
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
""",
        session.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert session.core.count(Publish) == 2


def test_a_child_that_is_forked_before_the_first_client_is_as_any_process(
    session: FakeSession,
) -> None:
    done, _ = run_program(
        """
import os, sys, zreg

def wait_for(child):
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7, status

first = os.fork()
client = zreg.Client(sys.argv[1], cluster='test')
client.publish('load', 'each', in_children=True).wait_registered(10)
sub = client.subscribe('load').wait_for(1, timeout_seconds=10)
own_id = client.client_id
second = os.fork()
if second == 0:
    client.publish('load', 'second').wait_registered(10)
    assert client.client_id != own_id
    assert 'second' in sub.wait_for(3, timeout_seconds=10).view.values
    client.close()
    os._exit(7)
wait_for(second)
client.close()
if first == 0:
    os._exit(7)
wait_for(first)
""",
        session.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len({hello.client_id for hello in session.core.clients.values()}) == 4


@pytest.mark.parametrize("module", ["zreg.client.api", "asyncio", "zreg.reactor.loop"])
def test_a_fork_waits_while_another_thread_loads_what_a_client_needs(
    session: FakeSession, module: str
) -> None:
    done, _ = run_program(
        f"""
import os, signal, sys, threading, zreg

is_loading, is_forking = threading.Event(), threading.Event()

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            is_loading.set()
            assert is_forking.wait(10)

sys.meta_path.insert(0, Slow())
os.register_at_fork(before=is_forking.set)
thread = threading.Thread(target=lambda: zreg.Client(sys.argv[1], cluster='test').close())
thread.start()
assert is_loading.wait(10)
child = os.fork()
if child == 0:
    signal.alarm(10)
    with zreg.Client(sys.argv[1], cluster='test') as client:
        client.publish('load', 'child').wait_registered(10)
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
thread.join()
""",
        session.url,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_grandchild_begins_afresh_too(session: FakeSession) -> None:
    run_parent(
        """
ids = []
def in_grandchild():
    client.publish('pay', 'grandchild').wait_registered(10)
    assert client.client_id not in ids
def in_child():
    ids.append(client.client_id)
    client.publish('pay', 'child').wait_registered(10)
    ids.append(client.client_id)
    run_in_child(in_grandchild)
    client.publish('pay', 'child 2').wait_registered(10)
run_in_child(in_child)
""",
        session,
    )
    assert len({hello.client_id for hello in session.core.clients.values()}) == 3


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_have_clients_of_their_own(
    session: FakeSession, method: str, tmp_path: object
) -> None:
    path = f"{tmp_path}/program.py"
    with open(path, "w") as file:  # noqa: PTH123 -- spawned workers import it by its path
        file.write(
            """
import multiprocessing, sys, zreg

client = zreg.Client(sys.argv[1], cluster='test')

def work(number):
    pub = client.publish('pay', str(number)).wait_registered(10)
    return client.client_id

if __name__ == '__main__':
    own = client.publish('pay', 'parent').wait_registered(10)
    context = multiprocessing.get_context(sys.argv[2])
    with context.Pool(2) as pool:
        ids = set(pool.map(work, range(4), chunksize=1))
    assert ids and client.client_id not in ids
    own.republish('parent 2')
    own.wait_registered(10)
    client.close()
"""
        )
    done, _ = run_program(
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n",
        path,
        session.url,
        method,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_asyncio_client_that_was_not_used_begins_in_the_child(session: FakeSession) -> None:
    done, _ = run_program(
        """
import asyncio, os, sys, zreg

client = zreg.AsyncClient(sys.argv[1], cluster='test')
parent_id = client.client_id

async def program():
    async with client:
        await client.publish('pay', 'a').wait_registered(10)

child = os.fork()
if child == 0:
    assert client.client_id != parent_id
    asyncio.run(program())
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
asyncio.run(program())
""",
        session.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len({hello.client_id for hello in session.core.clients.values()}) == 2


def test_an_asyncio_client_that_was_used_says_that_it_belongs_to_the_parent(
    session: FakeSession,
) -> None:
    done, _ = run_program(
        """
import asyncio, math, os, sys, traceback, zreg

def tell_here(client):
    try:
        status = client.status
        told = status.state, status.session, status.round_trip_seconds, status.heard_seconds
        assert told == (zreg.ClientState.CLOSED, '', None, math.inf), status
        assert status.why == 'this client belongs to the parent of this forked process', status
        assert client.statistics()['state'] == 'closed', client.statistics()
    except BaseException:
        traceback.print_exc()
        os._exit(1)

async def program():
    async with zreg.AsyncClient(sys.argv[1], cluster='test') as client:
        pub = await client.publish('pay', 'a').wait_registered(10)
        child = os.fork()
        if child == 0:
            try:
                client.publish('pay', 'b')
            except zreg.ClosedError as error:
                assert 'make a new zreg.AsyncClient in the child' in str(error), error
            else:
                os._exit(1)
            # What only tells of the client does so here as well.
            tell_here(client)
            os._exit(7)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7, status
        pub.republish('c')
        await pub.wait_registered(10)

asyncio.run(program())
""",
        session.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: session.core.count(Bye) == 1)


def test_a_child_that_leaves_the_loop_of_its_parent_ends_and_the_parent_goes_on(
    session: FakeSession,
) -> None:
    """Its `asyncio.run` cancels the parent's tasks, and runs turns of the loop until they end."""
    done, _ = run_program(
        """
import asyncio, os, sys, zreg

async def program():
    async with zreg.AsyncClient(sys.argv[1], cluster='test') as client:
        pub = await client.publish('pay', 'a').wait_registered(10)
        child = os.fork()
        if child == 0:
            return 7
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7, status
        pub.republish('b')
        await pub.wait_registered(10)
        return 0

sys.exit(asyncio.run(program()))
""",
        session.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: session.core.count(Bye) == 1)


def test_a_child_checks_the_health_of_what_it_publishes_and_of_nothing_else(
    session: FakeSession,
) -> None:
    run_parent(
        """
import logging
logging.disable(logging.CRITICAL)
begun = []
hanging = threading.Event()
def check():
    begun.append(os.getpid())
    if is_parent_hanging and os.getpid() == parent:
        hanging.wait(20)
parent, is_parent_hanging = os.getpid(), False
quick = dict(health_interval_seconds=0.2, health_timeout_seconds=0.2)
heartbeat = client.heartbeat(0.2)
own = client.publish('pay', 'own', health=check, **quick).wait_registered(10)
each = client.publish('load', 'all', health=check, in_children=True, **quick).wait_registered(10)
tied = client.publish('beat', 'all', health=heartbeat, in_children=True)
until(lambda: tied.health.state is zreg.HealthState.UNHEALTHY)
is_parent_hanging = True
until(lambda: each.health.state is own.health.state is zreg.HealthState.UNHEALTHY)

def in_child():
    begun.clear()
    heartbeat.beat()
    time.sleep(0.5)
    assert not begun, begun
    client.wait_connected(10)
    heartbeat.beat()
    until(lambda: each.is_registered)
    heartbeat.beat()
    tied.wait_registered(10)
    assert len({*begun}) == 1
    # The parent's check hangs, and must not hold up the one of the child.
    own.republish('in child')
    own.wait_registered(10)
    client.close()
run_in_child(in_child)
hanging.set()
own.wait_registered(10)
each.wait_registered(10)
""",
        session,
    )


def test_a_child_publishes_in_full_what_another_thread_of_its_parent_drains(
    session: FakeSession,
) -> None:
    run_parent(
        """
drained = client.publish('drained', zreg.Endpoint('a', 80, weight=70), in_children=True)
view = client.service('drained').wait_up(timeout_seconds=10)
weights = lambda: sorted(value.weight for value in view.view.values)
may_end = threading.Event()
def drain():
    with drained.draining(0):
        assert may_end.wait(20)
thread = threading.Thread(target=drain)
thread.start()
until(lambda: weights() == [0])
def in_child():
    client.wait_connected(10)
    until(lambda: weights() == [0, 70])
    client.close()
run_in_child(in_child)
may_end.set()
thread.join()
""",
        session,
    )


def test_a_child_may_end_the_drain_of_its_parent(session: FakeSession) -> None:
    run_parent(
        """
drained = client.publish('drained', zreg.Endpoint('a', 80, weight=70), in_children=True)
view = client.service('drained').wait_up(timeout_seconds=10)
weights = lambda: sorted(value.weight for value in view.view.values)
def in_child():
    block.__exit__(None, None, None)
    client.wait_connected(10)
    until(lambda: weights() == [0, 70])
    client.close()
block = drained.draining(0)
with block:
    until(lambda: weights() == [0])
    run_in_child(in_child)
until(lambda: 70 in weights())
""",
        session,
    )


@pytest.mark.parametrize(
    ("package", "patching"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()"),
        # It says of itself that it is deprecated.
        ("eventlet", "warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_a_child_that_puts_greenlets_in_the_place_of_threads_uses_the_client(
    session: FakeSession, package: str, patching: str
) -> None:
    """The workers of gunicorn do so after the fork."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; tox -e cluster installs it")
    run_parent(
        f"""
import warnings
changes = []
sub(changes.append)
until(lambda: changes)
def in_child():
    {patching}
    assert sub.view.values == ('parent',)
    client.publish('pay', 'child').wait_registered(10)
    until(lambda: set(sub.view.values) == {{'parent', 'child'}})
    until(lambda: len(changes[-1].view) == 2)
    client.close()
run_in_child(in_child)
""",
        session,
    )


def test_a_child_goes_on_with_the_watches_of_settings(session: FakeSession) -> None:
    session.core.settings = {"limit": Setting("limit", "5", 7)}
    run_parent(
        """
seen = []
watch = client.watch_setting('limit', lambda value: seen.append((os.getpid(), value)))
until(lambda: len(seen) == 1)
parent = os.getpid()
def in_child():
    late = []
    client.watch_setting('limit', late.append)
    until(lambda: late == ['5'])
    other = []
    client.watch_setting('other', other.append)
    until(lambda: other == [None])
    watch.close()
    client.close()
run_in_child(in_child)
assert seen == [(parent, '5')], seen
""",
        session,
    )
