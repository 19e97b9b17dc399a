"""One process at a time holds a lock, a killed holder holds nothing, and a process knows whether it is alone in a
folder."""

import subprocess
import sys
import threading
import time

import pytest

from detector.core import locks
from detector.core.errors import DetectorError

HOLD = """
import sys, time
from detector.core import locks
with locks.held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
STAY = """
import sys, time
from detector.core import locks
presence = locks.Presence(sys.argv[1])
print("here", flush=True)
time.sleep(60)
"""


@pytest.fixture
def another(tmp_path):
    """Starts a process that runs a program with the path of a lock, and returns when it has printed something."""
    started = []

    def start(program):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_second_is_told_who_holds_it(tmp_path, another):
    holder = another(HOLD)
    assert locks.is_held(tmp_path / "lock")
    with pytest.raises(DetectorError, match=f"pid {holder.pid} on"), locks.held(tmp_path / "lock"):
        pytest.fail("two hold it")


def test_a_killed_holder_lets_go(tmp_path, another):
    holder = another(HOLD)
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()
    assert not locks.is_held(tmp_path / "lock")
    with locks.held(tmp_path / "lock"):
        pass
    assert not (tmp_path / "lock").exists()


def test_waiting_ends_with_the_holder(tmp_path, another):
    holder = another(HOLD)
    threading.Timer(0.3, holder.kill).start()
    with locks.held(tmp_path / "lock", wait=30):
        pass


def test_many_threads_never_hold_it_together(tmp_path):
    """Each takes its own open file, as processes do; that the file is removed and made anew lets none in."""
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        for _ in range(20):
            with locks.held(tmp_path / "lock", wait=60):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_presence_is_known_to_others_and_ends_with_the_process(tmp_path, another):
    first = another(STAY)
    second = locks.Presence(tmp_path / "lock")
    assert not second.alone
    assert f"pid {first.pid}" in second.other
    first.kill()
    first.wait()
    del second
    assert locks.Presence(tmp_path / "lock").alone
