"""One GPU a rank, and the check that it is true: by NVIDIA's own bindings over an emulated driver, in real processes."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT, environment
from nvml import cards
from plans import LAPTOP, plan

from launch import gpus
from launch.node import pinning
from launch.node.rank import Rank
from launch.plan.plan import Plan

TWO, THREE = ("GPU-0a", "GPU-1b"), ("GPU-0a", "GPU-1b", "GPU-2c")

# One rank: takes its GPU, looks at what the others hold, and says what came of it.
RANK = """
import json, os, sys
from pathlib import Path
from launch import gpus, pinning
from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.node.rank import Rank
plan = Plan.from_json(json.loads(sys.argv[1]))
rank = Rank(*json.loads(sys.argv[2]))
said = {}
try:
    device = pinning.pin(plan, rank)
    said = {"device": device, "identity": device and gpus.identity(device)}
    pinning.compare(plan, rank, device, Path(sys.argv[3]), 1, float(sys.argv[4]))
except Refusal as refusal:
    said["refusal"] = str(refusal)
names = (plan.gpu_variable, "LAUNCH_GPU")
print(json.dumps(said | {name: os.environ.get(name) for name in names} | {"cores": sorted(os.sched_getaffinity(0))}))
"""


def start(planned: Plan, rank: Rank, meeting: Path, env: dict[str, str], patience_s: float = 60) -> subprocess.Popen:
    values = [rank.rank, rank.size, rank.local_rank, rank.local_size, rank.node, rank.nodes]
    words = [json.dumps(planned.to_json()), json.dumps(values), str(meeting), str(patience_s)]
    own = {k: v for k, v in environment(PYTHONPATH=str(ROOT)).items() if k != "CUDA_VISIBLE_DEVICES"}
    return subprocess.Popen([sys.executable, "-c", RANK, *words], env=own | env, stdout=subprocess.PIPE, text=True)


def node(planned: Plan, meeting: Path, envs: list[dict[str, str]]) -> list[dict]:
    """What the ranks of one node of a Slurm job say, each in its own environment."""
    size = len(envs)
    ranks = [start(planned, Rank(i, size, i, size, 0, 1, "slurm"), meeting, env) for i, env in enumerate(envs)]
    return [json.loads(rank.communicate(timeout=60)[0]) for rank in ranks]


def on_gpus(**replaced: object) -> Plan:
    return plan(**{"gpus_per_node": 2, "ranks_per_node": 2, **replaced})


@settings(deadline=None)
@given(st.integers(1, 8), st.sampled_from(["forward", "reverse"]))
def test_as_many_ranks_as_gpus_have_one_each(visible: int, order: str):
    places = [pinning.index(i, visible, order) for i in range(visible)]
    assert sorted(places) == list(range(visible))
    assert places == sorted(places, reverse=order == "reverse")


@settings(deadline=None)
@given(st.integers(0, 63), st.integers(1, 8), st.sampled_from(["forward", "reverse"]))
def test_more_ranks_than_gpus_are_spread_evenly(ranks: int, visible: int, order: str):
    counts = Counter(pinning.index(i, visible, order) for i in range(ranks))
    assert set(counts) <= set(range(visible))
    assert not counts or max(counts.values()) - min(counts.get(i, 0) for i in range(visible)) <= 1


def test_the_only_visible_gpu_is_everybodys():
    assert [pinning.index(i, 1, "reverse") for i in range(4)] == [0, 0, 0, 0]


def test_each_rank_takes_its_own_by_a_variable(tmp_path: Path):
    first, second = node(on_gpus(), tmp_path, [cards(*TWO)] * 2)
    assert [first["identity"], second["identity"]] == list(TWO)
    assert [first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]] == ["0", "1"]
    assert first["LAUNCH_GPU"] == second["LAUNCH_GPU"] == "0"  # each sees one only
    assert "refusal" not in first and "refusal" not in second


def test_the_framework_is_told_which_to_use(tmp_path: Path):
    said = node(on_gpus(gpu_binding="framework", gpu_order="reverse"), tmp_path, [cards(*TWO)] * 2)
    assert [rank["identity"] for rank in said] == [TWO[1], TWO[0]]
    assert [rank["LAUNCH_GPU"] for rank in said] == ["1", "0"]
    assert [rank["CUDA_VISIBLE_DEVICES"] for rank in said] == [
        None,
        None,
    ]  # all stay visible, for the links between them


def test_slurm_has_shown_each_its_own(tmp_path: Path):
    envs = [cards(*THREE) | {"CUDA_VISIBLE_DEVICES": i} for i in ("2", "0")]
    said = node(on_gpus(gpu_binding="slurm"), tmp_path, envs)
    assert [rank["identity"] for rank in said] == [THREE[2], THREE[0]]
    assert not any("refusal" in rank for rank in said)


def test_two_ranks_on_one_gpu_are_both_told_and_the_third_is_not(tmp_path: Path):
    envs = [cards(*THREE) | {"CUDA_VISIBLE_DEVICES": i} for i in ("1", "0", "1")]
    said = node(on_gpus(gpu_binding="slurm", gpus_per_node=3, ranks_per_node=3), tmp_path, envs)
    for rank in (0, 2):
        assert "ranks 0 and 2 on " in said[rank]["refusal"] and "hold the same GPU, GPU-1b" in said[rank]["refusal"]
        assert "--share-gpus" in said[rank]["refusal"] and "\n" not in said[rank]["refusal"]
    assert "refusal" not in said[1]


def test_a_number_and_a_uuid_are_the_same_gpu(tmp_path: Path):
    envs = [cards(*TWO) | {"CUDA_VISIBLE_DEVICES": i} for i in ("1", "GPU-1b")]
    said = node(on_gpus(gpu_binding="slurm"), tmp_path, envs)
    assert all("hold the same GPU, GPU-1b" in rank["refusal"] for rank in said)


def test_sharing_is_allowed_where_it_was_asked_for(tmp_path: Path):
    said = node(on_gpus(gpus_per_node=1, share_gpus=True), tmp_path, [cards("GPU-0a")] * 2)
    assert [rank["identity"] for rank in said] == ["GPU-0a", "GPU-0a"]
    assert not any("refusal" in rank for rank in said)


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_a_promised_gpu_that_is_not_there_is_refused(tmp_path: Path, visible: str):
    (said,) = node(on_gpus(ranks_per_node=1), tmp_path, [cards(*TWO) | {"CUDA_VISIBLE_DEVICES": visible}])
    assert (
        f"rank 0 on {os.uname().nodename} was promised a GPU and sees none: CUDA_VISIBLE_DEVICES={visible!r}"
        in said["refusal"]
    )


def test_without_gpus_in_the_plan_none_is_seen(tmp_path: Path):
    (said,) = node(plan(), tmp_path, [cards(*TWO)])
    assert said["device"] is None and said["CUDA_VISIBLE_DEVICES"] == ""
    (line,) = [json.loads(text) for text in next(tmp_path.iterdir()).read_text().splitlines()]
    assert line["holds"].startswith("cores ")


def test_the_variable_of_amd(tmp_path: Path):
    env = {"ROCR_VISIBLE_DEVICES": "4,5"}
    said = node(on_gpus(gpu_variable="ROCR_VISIBLE_DEVICES"), tmp_path, [env, env])
    assert [rank["ROCR_VISIBLE_DEVICES"] for rank in said] == ["4", "5"]


def test_a_rank_that_does_not_come_is_missed(tmp_path: Path):
    lonely = start(plan(ranks_per_node=2), Rank(0, 2, 0, 2, 0, 1, "slurm"), tmp_path, {}, patience_s=0.3)
    refusal = json.loads(lonely.communicate(timeout=60)[0])["refusal"]
    assert refusal.startswith(f"1 of the 2 ranks of {os.uname().nodename} did not start within 0 s")


def test_ranks_of_this_machine_have_cores_of_their_own_where_there_are_enough(tmp_path: Path):
    cores = sorted(os.sched_getaffinity(0))
    for size in (2, len(cores) + 1):
        local = plan(here=LAPTOP, nodes=size, ranks_per_node=1)
        meeting = tmp_path / str(size)
        meeting.mkdir()
        ranks = [start(local, Rank(i, size, 0, 1, i, size), meeting, {}) for i in range(size)]
        held = [json.loads(rank.communicate(timeout=60)[0])["cores"] for rank in ranks]
        if size > len(cores):
            assert held == [cores] * size
        else:
            assert all(len(part) == len(cores) // size for part in held)
            assert len(set(sum(held, []))) == sum(map(len, held))


def test_ranges():
    assert pinning._ranges({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8"
    assert pinning._ranges({3}) == "3"


@pytest.mark.parametrize(
    ("value", "devices"),
    [
        ("0,1", ["0", "1"]),
        (" 1 , 0 ", ["1", "0"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),  # CUDA: those before the first that is none
        ("NoDevFiles", []),
        ("GPU-8932f937,MIG-1/2/3", ["GPU-8932f937", "MIG-1/2/3"]),
        ("0,", ["0"]),
    ],
)
def test_what_a_variable_lets_through(value: str, devices: list[str], monkeypatch: pytest.MonkeyPatch):
    assert gpus.listed(value) == devices
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpus.visible() == devices


def test_names_and_driver_as_the_bindings_say():
    code = "from launch import gpus; print(gpus.names(), gpus.driver_version(), gpus.visible(), gpus.identity('7'))"
    env = {k: v for k, v in environment(PYTHONPATH=str(ROOT)).items() if k != "CUDA_VISIBLE_DEVICES"}
    for driver, says in (
        (cards(*TWO), "['Emulated GPU', 'Emulated GPU'] 535.0 ['0', '1'] device 7"),
        ({"LD_LIBRARY_PATH": cards()["LD_LIBRARY_PATH"]}, "[] None [] device 7"),  # a library, but no driver
    ):
        done = subprocess.run([sys.executable, "-c", code], env=env | driver, capture_output=True, text=True)
        assert done.stdout.strip() == says, done.stderr
