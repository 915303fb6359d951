"""Any number of worker processes gives the same results in the same order, in constant memory."""

import os
import signal
import subprocess
import sys
import time

import pytest

from derta.data.workers import IN_FLIGHT, map_in_order
from derta.errors import DataError, RunError


def square_slowly(number):
    time.sleep(0.02 * (number % 3))  # later chunks are done before earlier ones
    return number * number


def fail_at_seven(number):
    if number == 7:
        raise DataError("rows.jsonl:7: no text")
    return number


def die_at_three(number):
    if number == 3:
        os._exit(9)
    return number


@pytest.mark.parametrize("processes", [1, 3])
def test_the_order_is_the_chunks(processes):
    done = list(map_in_order(square_slowly, range(20), num_processes=processes))
    assert done == [number * number for number in range(20)]


def test_so_many_chunks_are_held_and_no_more():
    taken = []

    def chunks():
        for number in range(30):
            taken.append(number)
            yield number

    ahead = [
        len(taken) - done
        for done, _ in enumerate(map_in_order(square_slowly, chunks(), num_processes=2), start=0)
    ]
    assert max(ahead) == IN_FLIGHT * 2
    assert len(taken) == 30


@pytest.mark.parametrize("processes", [1, 2])
def test_what_work_raises_is_raised_after_the_results_before_it(processes):
    results = map_in_order(fail_at_seven, range(20), num_processes=processes)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(DataError, match=r"rows\.jsonl:7: no text"):
        next(results)


def test_a_process_that_dies_is_told():
    with pytest.raises(RunError, match=r"a worker process died .*lower num_processes"):
        list(map_in_order(die_at_three, range(20), num_processes=2))


STOPPED_WHILE_A_PROCESS_STARTS = """
import sys, time
from pathlib import Path
from derta.data import workers

STARTED = Path(sys.argv[0]).with_name("started")

def chunks():
    yield 0
    while not STARTED.exists():  # the first worker imports this file
        time.sleep(0.01)
    print("started", flush=True)
    yield from range(10 ** 9)

if __name__ == "__mp_main__":
    STARTED.touch()
    time.sleep(1)  # where Ctrl-C would show a traceback

if __name__ == "__main__":
    try:
        for _ in workers.map_in_order(abs, chunks(), num_processes=2):
            pass
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def test_ctrl_c_is_silent_in_the_workers(tmp_path):
    """The terminal sends it to the whole group: here while the first worker is still importing."""
    script = tmp_path / "script.py"
    script.write_text(STOPPED_WHILE_A_PROCESS_STARTS)
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, "stopped\n", "")
