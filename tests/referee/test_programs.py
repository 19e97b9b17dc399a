"""A program that crashes, is silent or says too much is killed and told of; the next question starts it anew."""

import os
import sys
import time

import pytest

from detector.referee.programs import Program, ProgramError

ECHO = """
import os, sys, time
for line in sys.stdin:
    word = line.strip()
    if word == "crash": os.abort()
    if word == "leave": sys.exit("no more")
    if word == "hang": time.sleep(60)
    if word == "twice": print(1)
    print(os.getpid() if word == "pid" else word)
"""


@pytest.fixture
def program(tmp_path):
    found = Program([sys.executable, "-c", ECHO], tmp_path / "log", start_limit=30.0)
    yield found
    found.kill()


@pytest.mark.parametrize(
    ("word", "reason"),
    [("crash", "SIGABRT"), ("leave", r"exit code 1 \(no more\)"), ("hang", "no answer within 1 s")],
)
def test_it_is_told_of_and_started_anew(program, word, reason):
    assert program.ask(b"one", 5.0) == "one"
    with pytest.raises(ProgramError, match=reason):
        program.ask(word.encode(), 1.0)
    assert not program.running
    assert program.ask(b"two", 5.0) == "two"


def test_a_line_too_many_is_no_answer_to_the_next_question(program):
    assert program.ask(b"twice", 30.0) == "1"
    time.sleep(0.3)
    with pytest.raises(ProgramError, match="without being asked"):
        program.ask(b"next", 5.0)
    assert program.ask(b"next", 5.0) == "next"


def test_its_process_is_gone_when_it_is_killed(program):
    pid = int(program.ask(b"pid", 5.0))
    program.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_is_left_at_the_end_is_returned(program):
    program.ask(b"twice", 30.0)
    assert program.finish() == "twice"
