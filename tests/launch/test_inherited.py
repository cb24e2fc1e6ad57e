"""Slurm's variables in the launcher's environment: none gets into a job by itself, and none is lost without a word."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launched import ROOT
from plans import CLUSTER, LAPTOP, plan

from launch.errors import Refusal
from launch.plan import inherited
from launch.plan.request import Request

ALLOCATION = {  # what salloc sets, and two habits
    "SLURM_CONF": "/etc/slurm.conf", "SLURM_JOB_ID": "4711", "SLURM_JOB_PARTITION": "gpu", "SLURM_NNODES": "2",
    "SLURM_NTASKS": "7", "SLURM_MEM_PER_NODE": "500", "SLURM_CPU_BIND": "none", "SBATCH_PARTITION": "fat", "HOME": "/home/u",
}  # fmt: skip


@given(st.lists(st.sampled_from(["SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SCANCEL_", "OMPI_COMM_"]), max_size=5))
def test_nothing_of_another_job_is_handed_on_to_a_slurm_job(prefixes: list[str]):
    kept = {
        "SLURM_CONF": "/etc/slurm.conf",
        "PATH": "/bin",
        "SLURMISH": "no",
        "LAUNCH_MODE": "fast",
        "PMIX_MCA_gds": "hash",
    }
    cleaned = inherited.clean(kept | {f"{prefix}X": "1" for prefix in prefixes})
    assert cleaned == kept


def test_a_local_run_has_all_of_the_environment_but_who_this_process_is():
    of_the_job = {
        "SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_TMPDIR": "/tmp", "SLURM_CPUS_PER_TASK": "4",
        "SLURM_JOB_NODELIST": "n1", "SBATCH_ACCOUNT": "ab12", "SQUEUE_FORMAT": "%i", "LAUNCH_MODE": "fast",
        "LAUNCH_SIZE_LIMIT": "9", "PRTE_MCA_ras": "^slurm", "PMIX_MCA_gds": "hash", "PMI_MMAP_SYNC_WAIT_TIME": "600", "PMI_DEBUG": "1", "OMPI_MCA_btl": "tcp,self",
        "HOROVOD_CACHE_CAPACITY": "0", "HOROVOD_GLOO_IFACE": "ib0", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500",
    }  # fmt: skip
    identity = {
        "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_STEP_ID": "1", "SLURM_NTASKS": "2",
        "PMI_RANK": "3", "PMI2_RANK": "3", "PMIX_RANK": "3", "OMPI_COMM_WORLD_RANK": "3", "OMPI_UNIVERSE_SIZE": "4",
        "HOROVOD_RANK": "3", "HOROVOD_GLOO_RENDEZVOUS_ADDR": "host", "FLUX_TASK_RANK": "1", "PALS_RANKID": "1",
    }  # fmt: skip
    assert inherited.without_identity(of_the_job | identity) == of_the_job
    assert inherited.rows({}, "local", of_the_job) == {}
    (line,) = inherited.rows({}, "local", of_the_job | identity).values()
    assert all(name in line for name in identity) and "job 7" in line


@pytest.mark.parametrize("marks_a_rank", ["LAUNCH_RANK", "TORCHELASTIC_RUN_ID"])
def test_where_the_ranks_of_an_outer_run_meet_is_not_where_those_of_an_inner_one_do(marks_a_rank: str):
    outer = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "HOROVOD_GLOO_IFACE": "lo", marks_a_rank: "0"}
    assert inherited.without_identity(outer | {"HOME": "/home/u"}) == {"HOME": "/home/u"}


def test_every_variable_that_a_rank_is_given_is_known_to_say_who_it_is():
    names = {
        name
        for path in (ROOT / "launch").rglob("*.py")
        for name in re.findall(r"[\"(\s]LAUNCH_[A-Z_]+", path.read_text())
    }
    names = {name[1:] for name in names}
    assert len(names) > 8 and inherited.without_identity(dict.fromkeys(names, "1")) == {}


def test_the_plan_names_what_would_change_a_job():
    assert inherited.rows({}, "slurm", ALLOCATION) == {
        "left out": "SBATCH_PARTITION, SLURM_CPU_BIND, SLURM_MEM_PER_NODE, what describes job 4711: "
        "give an option, or take a variable with --inherit NAME"
    }
    assert inherited.rows({}, "slurm", {"HOME": "/home/u", "SLURM_CONF": "x"}) == {}
    assert inherited.rows({"SBATCH_X": "1"}, "slurm", {"SBATCH_X": "1"}) == {"inherited": "SBATCH_X=1"}


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
