"""The share of a machine that a worker of a search trains on."""

import os
from pathlib import Path

import functions_elsewhere
import pytest

from recipes.tuning.places import Place, logical_cpus, share
from recipes.tuning.processes import FORKS, Processes


@pytest.fixture(scope="module")
def processes():
    with pytest.MonkeyPatch.context() as patch, Processes(["recipes.tuning.places"]) as processes:
        patch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)  # of conftest, for several at once
        yield processes


def in_place(processes, place):
    """Returns what a process that has taken a place sees of the machine."""
    return processes.run(functions_elsewhere.take, place, log=Path("log.txt"), on_message=None)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
def test_shares_are_all_there_is_and_overlap_only_where_there_is_too_little(count, workers):
    things = list(range(count))
    shares = [share(things, worker, workers) for worker in range(workers)]
    assert all(shares)
    if workers <= count:
        assert [one for each in shares for one in each] == things
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    else:
        assert {one for each in shares for one in each} == set(things)
        assert {len(each) for each in shares} == {1}


@pytest.mark.skipif(not FORKS, reason="read from /proc")
@pytest.mark.parametrize("workers", [2, 1000])
def test_a_worker_has_its_processors_and_tensorflow_as_many_threads(processes, workers):
    mine = sorted(os.sched_getaffinity(0))
    seen = [in_place(processes, Place(worker, workers)) for worker in (0, 1)]
    assert [each["processors"] for each in seen] == [share(mine, worker, workers) for worker in (0, 1)]
    for each in seen:
        assert each["pool"]
        assert all(thread == each["processors"] for thread in each["pool"])
        assert len(each["pool"]) <= len(each["processors"])
    assert sorted(os.sched_getaffinity(0)) == mine


def test_one_worker_has_all(processes):
    seen = in_place(processes, Place())
    assert seen["logical"] == 1
    if FORKS:
        assert seen["processors"] == sorted(os.sched_getaffinity(0))
        assert all(thread == seen["processors"] for thread in seen["pool"])


def test_a_worker_has_its_processor_split_as_whoever_started_the_search(processes):
    assert logical_cpus() == 2  # by conftest
    assert in_place(processes, Place(logical_cpus=logical_cpus()))["logical"] == 2
    assert in_place(processes, Place(1, 2, logical_cpus=3))["logical"] == 3
