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
from plans import CLUSTER, LAPTOP, plan

from launch import gpus
from launch.cli.doctor import doctor
from launch.node import pinning
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.plan.request import Request

TWO, THREE = ("GPU-0a", "GPU-1b"), ("GPU-0a", "GPU-1b", "GPU-2c")

# One rank: takes its GPUs, looks at what the others hold, and says what came of it.
RANK = """
import json, os, sys
from pathlib import Path
from launch.errors import Refusal
from launch.node import pinning
from launch.node.rank import Rank
from launch.plan.plan import Plan
from launch.plan.request import Request
plan = Plan.from_json(json.loads(sys.argv[1]))
rank = Rank(*json.loads(sys.argv[2]))
said = {}
try:
    said["gpus"] = pinning.pin(plan, rank)
    pinning.compare(plan, rank, said["gpus"], Path(sys.argv[3]), 1, float(sys.argv[4]))
except Refusal as refusal:
    said["refusal"] = str(refusal)
names = (plan.gpu_variable, "LAUNCH_GPU", "LOCAL_RANK", "JAX_LOCAL_DEVICE_IDS")
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
@given(
    each=st.integers(1, 4),
    ranks=st.integers(1, 4),
    idle=st.integers(0, 3),
    nodes=st.integers(1, 3),
    binding=st.sampled_from(["auto", "env", "framework"]),
    order=st.sampled_from(["forward", "reverse"]),
    local=st.booleans(),
)
def test_ranks_divide_the_gpus_and_their_numbers_are_those_of_gpus_that_they_see(
    each: int, ranks: int, idle: int, nodes: int, binding: str, order: str, local: bool
):
    gpus_per_node = each * ranks + idle % ranks  # so many that no rank could have one more
    planned = plan(here=LAPTOP if local else CLUSTER, nodes=nodes, ranks_per_node=ranks, gpus_per_node=gpus_per_node, gpu_binding=binding,
                   gpu_order=order)  # fmt: skip
    there = [str(index) for index in range(gpus_per_node * (nodes if local else 1))]
    places = [(node, i) for node in range(nodes if local else 1) for i in range(ranks)]
    shares = [
        pinning.share_of(planned, Rank(node * ranks + i, nodes * ranks, i, ranks, node, nodes), there)
        for node, i in places
    ]
    held = [device for share in shares for device in share.own]
    assert len(held) == len(set(held)) == each * len(places) and planned.gpus_per_rank == each
    for (_, local_rank), share in zip(places, shares):
        assert set(share.own) <= set(share.seen) <= set(there)
        if binding == "env" or binding == "auto" and each > 1:
            assert share.own == share.seen
        else:
            assert len(share.seen) == gpus_per_node and share.seen.index(share.own[0]) == local_rank


@settings(deadline=None)
@given(st.integers(0, 63), st.integers(1, 8), st.booleans())
def test_more_ranks_than_gpus_are_spread_evenly(ranks: int, visible: int, local: bool):
    size = max(1, ranks)
    shared = plan(here=LAPTOP if local else CLUSTER, nodes=size if local else 1, ranks_per_node=1 if local else size, gpus_per_node=visible,
                  share_gpus=True)  # fmt: skip
    there = [str(index) for index in range(visible)]
    counts = Counter(
        pinning.share_of(shared, Rank(i, size, 0, 1, i, size) if local else Rank(i, size, i, size), there).own[0]
        for i in range(ranks)
    )
    assert not counts or max(counts.values()) - min(counts[device] for device in there) <= 1


def test_a_program_that_asks_for_gpu_local_rank_finds_its_own(tmp_path: Path):
    """As every script for torchrun does; so do those for Horovod, whose numbers are their own."""
    first, second = node(on_gpus(), tmp_path, [cards(*TWO)] * 2)
    assert [first["gpus"], second["gpus"]] == [["GPU-0a"], ["GPU-1b"]]
    assert first["CUDA_VISIBLE_DEVICES"] == second["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert [first["LOCAL_RANK"], second["LOCAL_RANK"]] == [first["LAUNCH_GPU"], second["LAUNCH_GPU"]] == ["0", "1"]
    assert second["JAX_LOCAL_DEVICE_IDS"] == "1"
    assert "refusal" not in first and "refusal" not in second


@pytest.mark.parametrize("replaced", [{"kind": "workload"}, {"gpu_binding": "env"}])
def test_the_others_are_hidden_from_a_workload_and_where_it_is_asked_for(tmp_path: Path, replaced: dict[str, str]):
    first, second = node(on_gpus(**replaced), tmp_path, [cards(*TWO)] * 2)
    assert [first["gpus"], second["gpus"]] == [["GPU-0a"], ["GPU-1b"]]
    assert [first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]] == ["0", "1"]
    assert {rank[name] for rank in (first, second) for name in ("LAUNCH_GPU", "LOCAL_RANK")} == {"0"}


def test_the_first_gpu_is_the_last_rank_s_where_the_site_counts_backwards(tmp_path: Path):
    said = node(on_gpus(gpu_binding="framework", gpu_order="reverse"), tmp_path, [cards(*TWO)] * 2)
    assert [rank["gpus"] for rank in said] == [["GPU-1b"], ["GPU-0a"]]
    assert [(rank["CUDA_VISIBLE_DEVICES"], rank["LOCAL_RANK"]) for rank in said] == [("1,0", "0"), ("1,0", "1")]


def test_several_gpus_for_each_rank_and_no_two_ranks_hold_one(tmp_path: Path):
    four = cards("GPU-0a", "GPU-1b", "GPU-2c", "GPU-3d")
    said = node(on_gpus(gpus_per_node=4), tmp_path, [four] * 2)
    assert [rank["gpus"] for rank in said] == [["GPU-0a", "GPU-1b"], ["GPU-2c", "GPU-3d"]]
    assert [(rank["CUDA_VISIBLE_DEVICES"], rank["LOCAL_RANK"]) for rank in said] == [("0,1", "0"), ("2,3", "0")]
    assert {rank["JAX_LOCAL_DEVICE_IDS"] for rank in said} == {"0,1"}
    # Slurm has shown each its own two, which overlap.
    envs = [four | {"CUDA_VISIBLE_DEVICES": seen} for seen in ("0,1", "1,2")]
    (tmp_path / "overlap").mkdir()
    said = node(on_gpus(gpus_per_node=4, gpu_binding="slurm"), tmp_path / "overlap", envs)
    assert all("ranks 0 and 1" in rank["refusal"] and "GPU-1b" in rank["refusal"] for rank in said)


def test_slurm_has_shown_each_its_own(tmp_path: Path):
    envs = [cards(*THREE) | {"CUDA_VISIBLE_DEVICES": i} for i in ("2", "0")]
    said = node(on_gpus(gpu_binding="slurm"), tmp_path, envs)
    assert [rank["gpus"] for rank in said] == [[THREE[2]], [THREE[0]]]
    assert not any("refusal" in rank for rank in said) and {rank["LOCAL_RANK"] for rank in said} == {"0"}


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
    assert [rank["gpus"] for rank in said] == [["GPU-0a"], ["GPU-0a"]]
    assert {rank["LOCAL_RANK"] for rank in said} == {"0"}
    assert not any("refusal" in rank for rank in said)


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_a_promised_gpu_that_is_not_there_is_refused(tmp_path: Path, visible: str):
    (said,) = node(on_gpus(ranks_per_node=1), tmp_path, [cards(*TWO) | {"CUDA_VISIBLE_DEVICES": visible}])
    assert f"sees none: CUDA_VISIBLE_DEVICES={visible!r}" in said["refusal"]


def test_gpus_that_are_not_wanted_are_hidden_and_those_asked_for_in_another_way_are_not(tmp_path: Path):
    (said,) = node(plan(Request(gpus_per_node=0)), tmp_path, [cards(*TWO)])
    assert said["gpus"] == [] and said["CUDA_VISIBLE_DEVICES"] == ""
    (line,) = [json.loads(text) for text in next(tmp_path.iterdir()).read_text().splitlines()]
    assert line["gpus"] == [] and line["cores"]
    for name, here in (("job", CLUSTER), ("laptop", LAPTOP)):  # no file in /dev counts it, as in WSL
        (tmp_path / name).mkdir()
        (said,) = node(plan(here=here), tmp_path / name, [cards(*TWO)])
        assert said["gpus"] == list(TWO) and said["CUDA_VISIBLE_DEVICES"] == "0,1", name
    # More ranks than GPUs is the business of a program that has asked for them itself, but not of a workload.
    for kind, refused in (("script", False), ("workload", True)):
        (tmp_path / kind).mkdir()
        said = node(plan(ranks_per_node=3, kind=kind), tmp_path / kind, [cards(*TWO)] * 3)
        assert ["refusal" in rank for rank in said] == [refused, False, refused]
        assert [rank["LOCAL_RANK"] for rank in said] == (["0", "0", "0"] if refused else ["0", "1", "0"])


@pytest.mark.parametrize("visible", [{}, {"CUDA_VISIBLE_DEVICES": "0,1"}])
def test_the_driver_s_own_reason_is_told_where_a_gpu_is_needed_and_there_only(tmp_path: Path, visible: dict[str, str]):
    env = cards(*TWO) | {"FAKE_NVML_INIT": "18"} | visible
    (said,) = node(on_gpus(ranks_per_node=1), tmp_path, [env])
    assert "NVML/RM version mismatch" in said["refusal"] and "another node" in said["refusal"]
    (tmp_path / "none").mkdir()
    (said,) = node(plan(), tmp_path / "none", [env])
    assert "refusal" not in said


def test_the_variable_of_amd(tmp_path: Path):
    env = {"ROCR_VISIBLE_DEVICES": "4,5"}
    said = node(on_gpus(gpu_variable="ROCR_VISIBLE_DEVICES"), tmp_path, [env, env])
    assert [rank["gpus"] for rank in said] == [["device 4"], ["device 5"]]
    assert [(rank["ROCR_VISIBLE_DEVICES"], rank["LOCAL_RANK"]) for rank in said] == [("4,5", "0"), ("4,5", "1")]


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


MISMATCH, LOST, UNREADABLE = {"FAKE_NVML_INIT": "18"}, {"FAKE_NVML_LOST": "GPU-0a=0"}, {"FAKE_NVML_NAME": "\udcff"}


@pytest.mark.parametrize(
    ("env", "names", "faults"),
    [
        ({}, 2, ""),
        (MISMATCH, 0, "NVIDIA driver not readable: RM has detected an NVML/RM version mismatch"),
        ({"FAKE_NVML_INIT": "4"}, 0, "NVIDIA driver not readable: Insufficient Permissions"),
        ({"FAKE_NVML_INIT": "27"}, 0, "NVIDIA driver not readable: NVMLError_NotReady"),
        (LOST, 1, "GPU 0 not readable: GPU is lost"),
        (UNREADABLE, 0, "GPU 0 not readable: 'utf-8' codec"),
    ],
)
def test_a_fault_is_part_of_the_answer(env: dict[str, str], names: int, faults: str):
    code = (
        "import json; from launch.cli.doctor import doctor; from launch.record.environment import surroundings; "
        "print(json.dumps([surroundings(), doctor.CHECKS['gpus']()]))"
    )
    base = {k: v for k, v in environment(PYTHONPATH=str(ROOT)).items() if k != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run([sys.executable, "-c", code], env=base | cards(*TWO) | env, capture_output=True, text=True)
    found, (level, text, _) = json.loads(done.stdout)
    assert level == ("absent" if faults else "ok") and faults in text and text.count("Emulated") == bool(names)
    assert found["gpus"] == ["Emulated GPU"] * names and (found["driver"] == "535.0") == ("INIT" not in str(env))
    assert "".join(found["gpu_faults"]).startswith(faults) and bool(faults) == bool(found["gpu_faults"])


def test_doctor_needs_the_standard_library_only_and_names_what_is_absent():
    done = subprocess.run([sys.executable, "-S", "-m", "launch", "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.endswith("ready\n")
    assert "absent  engine         none is installed" in done.stdout
    assert all(f" {name} " in done.stdout for name in doctor.CHECKS)
    assert all(name in done.stdout for name in ("psutil", "duckdb", "nvidia-ml-py", "submitit"))


def test_a_check_that_fails_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken() -> doctor.Finding:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")

    monkeypatch.setattr(doctor, "CHECKS", {"one": broken, "two": lambda: doctor.Finding("ok", "fine")})
    assert doctor.main([]) == 0
    assert "cannot be checked (UnicodeDecodeError" in (output := capsys.readouterr().out) and "fine" in output
