"""Slurm's variables in the launcher's environment: none gets into a job by itself, and none is lost without a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import CLUSTER, LAPTOP, plan

from launch.errors import Refusal
from launch.plan import inherited
from launch.plan.request import Request

ALLOCATION = {  # what salloc sets, and two habits
    "SLURM_CONF": "/etc/slurm.conf", "SLURM_JOB_ID": "4711", "SLURM_JOB_PARTITION": "gpu", "SLURM_NNODES": "2",
    "SLURM_NTASKS": "7", "SLURM_MEM_PER_NODE": "500", "SLURM_CPU_BIND": "none", "SBATCH_PARTITION": "fat", "HOME": "/home/u",
}  # fmt: skip


@given(st.lists(st.sampled_from(["SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SCANCEL_", "PMIX_"]), max_size=5))
def test_nothing_of_another_job_is_handed_on(prefixes: list[str]):
    kept = {"SLURM_CONF": "/etc/slurm.conf", "PATH": "/bin", "SLURMISH": "no"}
    cleaned = inherited.clean(kept | {f"{prefix}X": "1" for prefix in prefixes})
    assert cleaned == kept


def test_the_plan_names_what_would_change_a_job():
    told = inherited.told({}, ALLOCATION)
    assert told == {
        "left out": "SBATCH_PARTITION, SLURM_CPU_BIND, SLURM_MEM_PER_NODE, what describes job 4711, in which this runs: "
        "give an option, or take a variable with --inherit NAME"
    }
    assert inherited.told({}, {"HOME": "/home/u", "SLURM_CONF": "x"}) == {}
    assert inherited.told({"SBATCH_X": "1"}, {"SBATCH_X": "1"}) == {"inherited": "SBATCH_X=1"}


def test_what_an_option_says_becomes_that_option_and_the_rest_goes_to_sbatch():
    asked = Request(inherit=("SLURM_JOB_PARTITION", "SBATCH_*", "SLURM_CPU_BIND"))
    request, taken = inherited.take(asked, ALLOCATION)
    assert request.partition == "fat"  # a habit said to sbatch comes before where this happens to run
    assert taken == {"SBATCH_PARTITION": "fat", "SLURM_CPU_BIND": "none"}
    request, taken = inherited.take(Request(partition="mine", inherit=("SBATCH_*",)), ALLOCATION)
    assert (request.partition, taken) == ("mine", {})


def test_what_is_not_there_is_refused():
    with pytest.raises(Refusal, match=r"--inherit SBATCH_PARTITON: .* did you mean 'SBATCH_PARTITION'\?"):
        inherited.take(Request(inherit=("SBATCH_PARTITON",)), ALLOCATION)
    with pytest.raises(Refusal, match="--inherit HOME: no such variable of Slurm"):
        inherited.take(Request(inherit=("HOME",)), ALLOCATION)
    with pytest.raises(Refusal, match="--inherit is for Slurm"):
        plan(Request(inherit=("SBATCH_X",)), LAPTOP)


def test_a_plan_keeps_what_was_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SBATCH_TIMELIMIT", "7")
    planned = plan(Request(inherit=("SBATCH_TIMELIMIT",)), CLUSTER)
    assert (planned.time_s, planned.inherited) == (420, {"SBATCH_TIMELIMIT": "7"})
