"""Who am I: environments as starters set them, whole, incomplete and contradicting."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT
from launched import environment as environment_of_a_shell
from plans import LAPTOP, plan, run_of

from launch import own_command
from launch.errors import Refusal
from launch.node.rank import Rank, environment, from_environment, slurm_tasks
from launch.record.files import read_lines

# Seen in a task of srun -N2 --ntasks-per-node=2, Slurm 22.05.8.
SLURM = {
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NODELIST": "node[3-4]", "SLURM_STEP_ID": "0", "SLURM_GTIDS": "2,3",
}  # fmt: skip
# Seen in its batch script: it has a PROCID too, but no step.
BATCH = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}
# Seen under mpirun of Open MPI 5.0.11.
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_RANK": "3",
}  # fmt: skip
PMI = {"PMI_RANK": "3", "PMI_SIZE": "4", "PMI_LOCAL_RANK": "1", "PMI_LOCAL_SIZE": "2"}
TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1", "GROUP_WORLD_SIZE": "2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        (SLURM, "slurm"),
        (SLURM | {"PMIX_RANK": "3"}, "slurm"),  # srun --mpi=pmix
        (SLURM | {"PMI_RANK": "3", "PMI_SIZE": "4"}, "slurm"),  # srun --mpi=pmi2
        (OPENMPI, "openmpi"),
        (OPENMPI | BATCH, "openmpi"),  # mpirun in an allocation: SLURM_PROCID is the daemon's
        (OPENMPI | SLURM | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}, "openmpi"),
        (PMI, "pmi"),
        (TORCHRUN, "torchrun"),
    ],
)
def test_as_starters_say_it(environ: dict[str, str], source: str):
    assert from_environment(environ) == Rank(3, 4, 1, 2, 1, 2, source)


def test_alone():
    assert from_environment({}) == Rank() == from_environment(BATCH)
    assert Rank().is_chief and not Rank(1, 2).is_chief


def test_nodes_that_differ_in_tasks():
    uneven = SLURM | {"SLURM_STEP_TASKS_PER_NODE": "3,1", "SLURM_LOCALID": "0"}
    assert from_environment(uneven) == Rank(3, 4, 0, 1, 1, 2, "slurm")


def test_pmi_without_local_ranks_is_one_node():
    assert from_environment({"PMI_RANK": "2", "PMI_SIZE": "4"}) == Rank(2, 4, 2, 4, 0, 1, "pmi")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"LAUNCH_RANK": "1"}, "LAUNCH_RANK=1 is set but LAUNCH_SIZE is not"),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "OMPI_COMM_WORLD_SIZE is not"),
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK='first' is not a whole number"),
        (SLURM | {"SLURM_PROCID": "4"}, "the environment of slurm contradicts itself"),
        (SLURM | {"SLURM_LOCALID": "2"}, "contradicts itself"),
        (SLURM | {"SLURM_NODEID": "5"}, "does not say how many tasks are on node 5"),
        (SLURM | {"SLURM_STEP_NUM_NODES": "1"}, "contradicts itself"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "many"}, "SLURM_STEP_TASKS_PER_NODE='many'"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "0"}, "contradicts itself"),
        (PMI | {"PMI_SIZE": "-4"}, "contradicts itself"),
        (OPENMPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "0"}, "contradicts itself"),
    ],
)
def test_incomplete_or_contradicting(environ: dict[str, str], says: str):
    with pytest.raises(Refusal) as refusal:
        from_environment(environ)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(1, 8), st.data())
def test_said_again_it_is_the_same(nodes: int, local_size: int, data: st.DataObject):
    rank = data.draw(st.integers(0, nodes * local_size - 1))
    node, local_rank = divmod(rank, local_size)
    one = Rank(rank, nodes * local_size, local_rank, local_size, node, nodes, "launch")
    said = environment(one)
    assert from_environment(said) == one
    assert said["NODE_RANK"] == said["LAUNCH_NODE"] == str(node)
    # What torchrun would have set is enough by itself, and so is Open MPI's, which does not name nodes.
    torch = {name: said[name] for name in TORCHRUN}
    openmpi = dict(zip(OPENMPI, map(str, (rank, one.size, local_rank, local_size))))
    for environ in (torch, openmpi):
        found = from_environment(environ)
        assert (found.rank, found.size, found.local_rank, found.local_size, found.node, found.nodes) == (
            one.rank, one.size, one.local_rank, one.local_size, one.node, one.nodes
        )  # fmt: skip


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*SLURM, *OPENMPI, *PMI, *TORCHRUN]), st.integers(-2, 5).map(str) | st.just("x"))
)
def test_any_environment_is_a_rank_or_a_refusal(environ: dict[str, str]):
    try:
        found = from_environment(environ)
    except Refusal:
        return
    assert 0 <= found.rank < found.size
    assert 0 <= found.local_rank < found.local_size <= found.size
    assert 0 <= found.node < found.nodes <= found.size


@pytest.mark.parametrize(
    ("text", "counts"), [("2(x2)", [2, 2]), ("4(x2),3", [4, 4, 3]), ("1", [1]), ("3,1(x3)", [3, 1, 1, 1])]
)
def test_tasks_per_node(text: str, counts: list[int]):
    assert slurm_tasks(text) == counts


def test_a_rank_that_fails_before_it_knows_the_others_is_named(tmp_path: Path):
    run = run_of(plan(here=LAPTOP, nodes=2), tmp_path / "run")
    env = environment_of_a_shell(LAUNCH_RANK="1", PYTHONPATH=str(ROOT))  # and no size
    done = subprocess.run(
        own_command(sys.executable, "launch.node.worker", str(run.path)), env=env, capture_output=True
    )
    assert done.returncode == 1
    assert [line["rank"] for line in read_lines(run.failures / "node0.jsonl")] == [1]
