"""Job scripts: golden files, free of findings of shellcheck; and run paths of every kind, in scripts that are executed.

After a change that is meant:   LAUNCH_TESTS_UPDATE=1 python -m pytest tests/launch/test_script.py
"""

import difflib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plans import SCRIPT, plan, run_of

from launch import HOME
from launch.backends.flux import scheduler as flux
from launch.backends.flux import script as flux_script
from launch.backends.pbs import scheduler as pbs
from launch.backends.pbs import script as pbs_script
from launch.backends.script import allocated
from launch.backends.slurm import scheduler as slurm
from launch.backends.slurm.script import directives, sbatch, script, tasks
from launch.backends.slurm.submission import QUEUE
from launch.backends.submission import advice
from launch.errors import Refusal
from launch.plan import site
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.target import workload
from launch.plan.target.workload import Target
from launch.record.job import Job
from launch.record.rundir import RunDir
from launch.submit import jobs

GOLDEN = Path(__file__).with_name("golden")


def cluster(**keys: object) -> site.Site:
    return site.from_table({"name": "cluster", **keys}, "cluster")


def _enough(here: site.Site) -> int:
    """Nodes that the site's partition takes."""
    return max(4, here.partitions.get(here.partition or "", {}).get("min_nodes", 1))


GPU = {"gpus_per_node": 4, "cpus_per_node": 64}
PLANS = {
    "nodes16": plan(Request(nodes=16, name="first")),
    "gpus_per_node": plan(Request(nodes=2, name="gpus"), cluster(**GPU)),
    "gpus_per_task_slurm": plan(
        Request(nodes=2, name="gpus"), cluster(**GPU, gpu_request="gpus-per-task", gpu_binding="slurm")
    ),
    "gres_framework": plan(Request(nodes=2, name="gpus"), cluster(**GPU, gpu_request="gres", gpu_binding="framework")),
    "gpu_type": plan(Request(nodes=2, name="gpus"), cluster(**GPU, gpu_type="a100", gpu_request="gres")),
    "gpus_for_each_rank": plan(
        Request(nodes=2, ranks_per_node=2, gpus_per_node="a100:4", name="gpus"), cluster(**GPU, gpu_binding="slurm")
    ),
    "gpus_unasked": plan(Request(nodes=2, name="gpus"), cluster(**GPU, gpu_request="none")),
    "spare_nodes": plan(Request(nodes=4, name="spare", spare_nodes=1, max_attempts=3, hang_timeout="30m")),
    "mpi": plan(Request(nodes=4, ranks_per_node=2, name="mpi", rendezvous="mpi"), cluster(mpi="pmix")),
    "modules": plan(
        Request(nodes=2, name="modules"),
        cluster(
            modules=["gcc/12", "cuda/12.4 beta"],
            setup=["ulimit -s unlimited"],
            env={"NCCL_SOCKET_IFNAME": "hsn0,hsn1", "NOTE": "it's two \"words\""},
            directives={"exclusive": "", "comment": "a word # and 'more'"},
            srun_args=["--cpu-bind=cores"],
        ),
    ),
    "everything": plan(
        Request(
            nodes=3, ranks_per_node=2, gpus_per_node=2, cpus_per_task=7, time="1-02:00:30", partition="gpu", account="ab12",
            qos="high", constraint="[a100|h100]&nvlink", job_name="my job", name="all", seed=7, max_attempts=3,
            sbatch_arg=("--exclusive", "--comment=two words"), srun_arg=("--cpu-bind=none", "--export=ALL,NOTE=a b"),
        )
    ),
    "container_apptainer": plan(
        Request(nodes=2, name="contained", container="images/tf 2.sif"),
        cluster(**GPU, container="apptainer", container_python="/opt/conda/bin/python", container_args=["--writable-tmpfs"]),
        container="/images/tf 2.sif", container_binds=("/home/u/code", "/scratch/u"),
    ),
    "container_singularity_rocm": plan(
        Request(nodes=2, name="contained", container="docker://rocm/tensorflow"),
        cluster(**GPU, container="singularity", gpu_variable="ROCR_VISIBLE_DEVICES"), container_binds=("/scratch/u",),
    ),
    "container_pyxis": plan(
        Request(nodes=2, name="contained", container="nvcr.io#nvidia/tensorflow:24.01-tf2-py3", rendezvous="mpi"),
        cluster(**GPU, container="pyxis", mpi="pmix", container_args=["--no-container-mount-home"]),
        container_binds=("/home/u/code", "/scratch/u"),
    ),
    "container_edf": plan(
        Request(nodes=2, name="contained", container="tensorflow"), cluster(**GPU, container="edf"),
        container_binds=("/scratch/u",),
    ),
    "container_podman": plan(
        Request(nodes=2, name="contained", container="nvcr.io/nvidia/tensorflow:24.01-tf2-py3"),
        cluster(**GPU, container="podman-hpc", container_args=["--openmpi-pmi2"]), container_binds=("/home/u/code", "/scratch/u"),
    ),
    "short": plan(Request(name="short", time="3", warn=60)),
    "unlimited": plan(Request(name="unlimited", time="UNLIMITED")),
    "stage_env": plan(
        Request(nodes=2, name="staged"), cluster(node_disk="/local/my disk"),
        staged={"archive": "/scratch/u/runs/.environments/0123.tar", "files": 9, "kib": 2048, "python": "0/bin/python",
                "start": "0/lib/python3.11/site-packages/rankloop/__main__.py", "outside": []},
    ),
    "inherited": plan(Request(name="inherited"), inherited={"SBATCH_ACCOUNT": "ab12", "SBATCH_RESERVATION": "a b"}),
}  # fmt: skip
PLANS |= {
    f"site-{here.name}": plan(Request(nodes=_enough(here), time="60", account="ab12", name="first"), here)
    for here in map(site.load, site.names())
    if here.backend != "local"
}
POLARIS = cluster(
    **GPU, backend="pbs", launcher="pals", gpu_resource="", chunk={"system": "polaris"}, resources={"filesystems": "home:eagle"},
)  # fmt: skip
PLANS |= {
    "pbs": plan(
        Request(nodes=2, ranks_per_node=2, gpus_per_node=2, cpus_per_task=7, time="90:30", partition="gpu", account="ab12", name="all", max_attempts=3, warn=60),
        cluster(backend="pbs", modules=["cuda/12"], directives={"W": "group_list=a b"}),
    ),
    "pbs_pals": plan(Request(nodes=4, name="first", account="ab12", time="60", rendezvous="mpi"), POLARIS),
    "pbs_openmpi": plan(Request(nodes=4, name="first"), cluster(**GPU, backend="pbs", launcher="openmpi", place="scatter:excl", account_option="P")),
    "flux": plan(
        Request(nodes=2, ranks_per_node=2, gpus_per_node=2, cpus_per_task=7, time="90:30", partition="gpu", account="ab12", name="all", job_name="a name", max_attempts=3),
        cluster(backend="flux", directives={"exclusive": "", "setattr": "system.note=a b"}),
    ),
    "flux_whole_nodes": plan(Request(nodes=16, name="first", time="60"), cluster(backend="flux")),
}  # fmt: skip


def packed(here: site.Site, **asked: object) -> list[Plan]:
    return [plan(Request(nodes=n, name=f"n{n}-r1", time="30", pack=True, **asked), here) for n in (1, 2, 4)]


PACKS = {
    "pack": packed(cluster(**GPU, modules=["cuda/12"], srun_args=["--cpu-bind=cores"])),
    "pack_stop_below": packed(cluster(), stop_below=0.6),
    "pbs_pack": packed(POLARIS, warn=120),
    "flux_pack": packed(cluster(**GPU, backend="flux")),
}
ARRAYS = {
    "pbs_array": [plan(Request(name=f"n1-r{number}", throttle=2), cluster(backend="pbs")) for number in (1, 2, 3)],
    "flux_one_of_a_study": [plan(Request(name="n1-r1"), cluster(backend="flux"))],
}


def settled(planned: Plan) -> Plan:
    """With what differs from machine to machine replaced."""
    return Plan.from_json(planned.to_json() | {"python": "/opt/venv/bin/python", "pythonpath": ["/home/u/lib"]})


def text(name: str) -> str:
    folder = Path("/scratch/u/runs")
    if name in PLANS:
        run = RunDir(folder / PLANS[name].name)
        return written(the_job(run.path, [(run, settled(PLANS[name]))]))
    plans = [settled(each) for each in (PACKS | ARRAYS)[name]]
    runs = [(RunDir(folder / "weak" / each.name), each) for each in plans]
    return written(the_job(folder / "weak", runs))


def written(job: Job) -> str:
    """The script of a job, for the scheduler that it is for."""
    of = {"slurm": script, "pbs": pbs_script.script, "flux": flux_script.script}[job.backend]
    return of(job).replace(str(HOME), "/opt/toolkit")


def srun(planned: Plan) -> list[str]:
    return [f"--nodes={planned.nodes}", f"--ntasks={planned.size}", *tasks(planned)]


def the_job(holder: Path, runs: list[tuple[RunDir, Plan]]) -> Job:
    """The one job of some runs, as its scheduler is given it."""
    (job,) = jobs.make(holder, runs, runs[0][1].backend == "pbs" and 2 or None)
    return allocated(job)


@pytest.mark.parametrize("name", [*PLANS, *PACKS, *ARRAYS])
def test_golden(name: str):
    path, made = GOLDEN / f"{name}.sh", text(name)
    if os.environ.get("LAUNCH_TESTS_UPDATE"):
        path.write_text(made)
    difference = difflib.unified_diff(path.read_text().splitlines(), made.splitlines(), "golden", "made", lineterm="")
    assert list(difference) == []


def test_no_golden_file_is_forgotten():
    assert {path.stem for path in GOLDEN.iterdir()} == {*PLANS, *PACKS, *ARRAYS}


def test_goldens_are_clean():
    files = sorted(map(str, GOLDEN.glob("*.sh")))
    for file in files:
        assert subprocess.run(["bash", "-n", file], capture_output=True).stderr == b""
    found = subprocess.run([Path(sys.executable).with_name("shellcheck"), *files], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_what_a_plan_says_is_asked_of_slurm():
    asked = directives(PLANS["everything"])
    assert (asked["nodes"], asked["ntasks-per-node"], asked["cpus-per-task"]) == ("3", "2", "7")
    assert asked["time"] == "1-02:01:00"  # Slurm counts whole minutes
    assert asked["job-name"] == "my-job"
    assert {"--nodes=3", "--ntasks=6", "--cpus-per-task=7", "--kill-on-bad-exit=1"} <= set(srun(PLANS["everything"]))


@pytest.mark.parametrize(
    ("asked", "of_site", "said"),
    [
        ({"sbatch_arg": ("-Mother",)}, {}, "-Mother sends the job to another cluster"),
        ({"sbatch_arg": ("--mem=0", "--clusters=all")}, {}, "--clusters=all sends the job to another cluster"),
        ({}, {"directives": {"clusters": "other"}}, "--clusters=other sends the job to another cluster"),
        ({"inherited": {"SBATCH_CLUSTERS": "other"}}, {}, "--clusters=other sends the job to another cluster"),
        ({"sbatch_arg": ("--mem=4G", ":", "--nodes=1")}, {}, ": makes a heterogeneous job"),
        ({"srun_arg": ("--het-group=0,1",)}, {}, "--het-group=0,1 makes a heterogeneous job"),
        ({"sbatch_arg": ("--cluster-constraint=fast", "--mem=4G")}, {}, None),
    ],
)
def test_jobs_that_could_not_be_followed_are_refused(
    asked: dict[str, Any], of_site: dict[str, Any], said: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "")  # without any Slurm
    taken = asked.pop("inherited", {})
    made = plan(Request(**asked), cluster(**of_site), inherited=taken)
    if said is None:
        return slurm.SCHEDULER.check(made)
    with pytest.raises(Refusal, match=f"^{said}.*: (launch it on a login node|make each part a run)"):
        slurm.SCHEDULER.check(made)


@pytest.mark.parametrize(
    ("scheduler", "option", "instead"),
    [
        (slurm, "--time=5", "--time"), (slurm, "-t5", "--time"), (slurm, "--nodes=2-4", "--nodes"),
        (slurm, "--array=0-1", "--repeats"), (slurm, "-W", "--wait"), (slurm, "--test-only", "--dry-run"),
        (slurm, "--wait-all-nodes=1", None), (slurm, "--time-min=5", None), (slurm, "--nice=5", None),
        (pbs, "-lwalltime=1:00:00", "--time"), (pbs, "-J 0-3", "--repeats"), (pbs, "-lfilesystems=home", None),
        (flux, "-t5m", "--time"), (flux, "--nodes=3", "--nodes"), (flux, "--requires=a", None),
        (flux, "--job-name=mine", "--job-name"), (pbs, "-N mine", "--job-name"),
    ],
)  # fmt: skip
def test_what_the_plan_decides_is_no_option_for_the_scheduler(
    scheduler: Any, option: str, instead: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "")
    made = plan(Request(sbatch_arg=(option,)), cluster())
    if instead is None:
        return scheduler.SCHEDULER.check(made)
    with pytest.raises(Refusal, match=f"^--sbatch-arg={option}: .*: give .*{instead}"):
        scheduler.SCHEDULER.check(made)


@pytest.mark.parametrize("option", ["--output=x", "-ox", "-e", "--error=/tmp/e"])
def test_the_log_of_a_slurm_job_stays_in_its_run(option: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Refusal, match=f"^{option} would put the job's log elsewhere .* logs RUN --job shows"):
        slurm.SCHEDULER.check(plan(Request(sbatch_arg=(option,)), cluster()))


WORKLOAD = workload.find("tiny", [])


@pytest.mark.parametrize(
    ("target", "asked", "signal"),
    [
        (WORKLOAD, {}, "USR2@120"),
        (WORKLOAD, {"time": "3"}, "USR2@90"),  # not at once
        (WORKLOAD, {"time": "60", "warn": 600}, "USR2@600"),
        (WORKLOAD, {"time": "UNLIMITED"}, None),
        (SCRIPT, {"time": "60"}, None),  # knows nothing of it
        (SCRIPT, {"time": "60", "warn": 30}, "USR2@30"),
    ],
)
def test_who_is_warned_before_the_limit(target: Target, asked: dict[str, Any], signal: str | None):
    assert directives(plan(Request(**asked), target=target)).get("signal") == signal


def test_what_a_plan_says_is_asked_of_pbs():
    run = RunDir("/scratch/u/runs/first")
    words = pbs_script.qsub(the_job(run.path, [(run, settled(PLANS["pbs_pals"]))]))
    asked = " ".join(words)
    assert asked.startswith(
        "qsub -f -N first -A ab12 -l select=4:ncpus=64:mpiprocs=4:ompthreads=16:system=polaris -l place=scatter"
    )
    assert " -l walltime=1:00:00 -l filesystems=home:eagle " in asked
    assert words[-4:] == ["--", "/bin/bash", "-l", "/scratch/u/runs/first/jobs/1/job.sh"]
    (odd,) = [
        word for word in pbs_script.qsub(the_job(run.path, [(run, plan(Request(job_name="7 %'ü"), POLARIS))]))[3:4]
    ]
    assert odd == "r7----"


@pytest.mark.parametrize(
    ("backend", "asked", "what"),
    [
        ("pbs", {"spare_nodes": 1, "max_attempts": 2}, "--spare-nodes is not possible with PBS"),
        ("pbs", {"stage_env": True}, "--stage-env is not possible with PBS"),
        ("pbs", {"qos": "high"}, "--qos is not possible with PBS: name a queue with -p"),
        ("flux", {"throttle": 2}, "--throttle is not possible with Flux"),
        ("flux", {"constraint": "a100"}, "--constraint is not possible with Flux"),
        ("pbs", {"nodes": 2, "rendezvous": "mpi"}, "pbs_tmrsh starts ranks that know nothing of MPI"),
    ],
)
def test_what_a_scheduler_cannot_do_is_refused_by_name(backend: str, asked: dict[str, Any], what: str):
    with pytest.raises(Refusal, match=what) as refusal:
        plan(Request(**asked), cluster(backend=backend))
    assert "\n" not in str(refusal.value) and refusal.value.status == 2


def test_mpi_is_said_to_srun():
    assert "--mpi=none" in srun(PLANS["nodes16"])
    assert "--mpi=pmix" in srun(PLANS["mpi"])
    assert not [
        word for word in srun(plan(Request(rendezvous="mpi"))) if word.startswith("--mpi")
    ]  # the site's default


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates accounting/QOS policy", "--pack"),
        ("AssocMaxSubmitJobLimit; Batch job submission failed: Job violates accounting/QOS policy", "squeue --me"),
        ("QOSMaxWallDurationPerJobLimit; Batch job submission failed: Job violates", "ask for less --time"),
        ("AssocGrpCPUMinutesLimit; Batch job submission failed: Job violates", "the account"),
        ("QOSMaxNodePerJobLimit; Batch job submission failed: Job violates", "ask for fewer nodes"),
        ("QOSMinGRES; Batch job submission failed: Job violates", "larger jobs"),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", "a limit of the"),
        ("Invalid account or account/partition combination specified", "-A"),
    ],
)
def test_a_refusal_says_what_to_do(said: str, what: str):
    assert what in advice(said, QUEUE) and "\n" not in advice(said, QUEUE)


FAKE_SRUN = """#!{python}
# Notes how it was called, and starts what stands behind its options once, as rank 0.
import json, os, subprocess, sys
here = os.environ["FAKES"]
words = sys.argv[1:]
split = next(i for i, word in enumerate(words) if not word.startswith("-"))
json.dump({{"options": words[:split], "cwd": os.getcwd(), "note": os.environ.get("NOTE")}}, open(here + "/srun.json", "w"))
tasks = dict(SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0", SLURM_STEP_ID="0", SLURM_STEP_NUM_TASKS="1",
             SLURM_STEP_NUM_NODES="1", SLURM_STEP_TASKS_PER_NODE="1")
sys.exit(subprocess.run(words[split:], env=os.environ | tasks).returncode)
"""

PROGRAM = """
import json, os, sys
json.dump({"argv": sys.argv[1:], "run": os.environ["LAUNCH_RUN"], "rank": os.environ["RANK"], "cwd": os.getcwd()},
          open(os.environ["FAKES"] + "/program.json", "w"))
sys.exit(int(sys.argv[-1]))
"""

NAMES = [
    "plain",
    'it\'s a "run"',
    "-rf",
    "$(touch x)",
    "`touch x`; touch x & #",
    "naïve-流れ-🌊",
    "@command #",
]
ARGUMENTS = ("$(touch x)", "a b", "'", '"', "\\", "*", "", "-n", "first\nsecond", "流れ")


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with an srun that starts one task, and where that and the program note what they saw."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    (folder / "srun").write_text(FAKE_SRUN.format(python=sys.executable))
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKES", str(folder))
    return folder


def execute(run: RunDir, planned: Plan) -> subprocess.CompletedProcess:
    """As slurmd does: by bash, from a copy elsewhere, in the folder of --chdir."""
    job = the_job(run.path, [(run, planned)])
    copy = run.path.parent / "slurm_script"
    copy.write_text(script(job))
    (chdir,) = [word for word in sbatch(job) if word.startswith("--chdir=")]
    return subprocess.run(
        ["bash", copy], cwd=chdir.removeprefix("--chdir="), capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_path_or_an_argument_is_run_or_lost(tmp_path: Path, fakes: Path, name: str):
    place = tmp_path / name
    place.mkdir()
    program = place / "program.py"
    program.write_text(PROGRAM)
    environment = cluster(env={"NOTE": 'it\'s $HOME; `touch x`\n"two"'})
    planned = plan(Request(), environment, Target("script", str(program), (*ARGUMENTS, "0")), cwd=str(place))
    run = run_of(planned, place / "runs" / name)
    done = execute(run, planned)
    assert done.returncode == 0, done.stdout + done.stderr
    saw = json.loads((fakes / "program.json").read_text())
    assert saw == {"argv": [*ARGUMENTS, "0"], "run": str(run.path), "rank": "0", "cwd": str(place)}
    called = json.loads((fakes / "srun.json").read_text())
    assert called == {"options": srun(planned), "cwd": str(run.path), "note": environment.env["NOTE"]}
    assert not list(tmp_path.rglob("x"))
    result = run.result()
    assert result.pop("phases_s").keys() == {"run"}
    assert result == {"status": "done", "ranks": 1, "nodes": 1, "attempts": 1}
    assert [event["event"] for event in run.events()] == ["started", "ended"]


@pytest.mark.parametrize("name", ["100%", "b%j", "back\\slash", "two\nlines", "cr\rx"])
def test_a_path_that_slurm_would_change_is_refused(tmp_path: Path, name: str):
    with pytest.raises(Refusal, match="a meaning of its own") as refusal:
        plan(Request(runs=tmp_path / name))
    assert "\n" not in str(refusal.value)
    moved = RunDir(tmp_path / name / "run")
    with pytest.raises(Refusal):
        script(the_job(moved.path, [(moved, plan())]))


def test_the_path_that_slurm_would_change_is_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x %j").mkdir()
    monkeypatch.chdir(tmp_path / "x %j")
    with pytest.raises(Refusal, match="/x %j/runs'"):
        plan(Request(runs=Path("runs")))


# What a program says by status 75 counts where the program is known to say it.
SAYS = "from launch.node import stop; stop.install()\n"


@pytest.mark.parametrize(
    ("status", "head", "asked", "expected", "outcome"),
    [
        (0, "", {}, 0, "done"),
        (75, "", {"warn": 60}, 75, "stopped"),
        (75, SAYS, {}, 75, "stopped"),
        (75, "", {}, 1, "failed"),
        (3, "", {}, 1, "failed"),
    ],
)
def test_the_script_ends_as_its_ranks_did(
    tmp_path: Path, fakes: Path, status: int, head: str, asked: dict[str, Any], expected: int, outcome: str
):
    program = tmp_path / "program.py"
    program.write_text(head + PROGRAM)
    planned = plan(Request(**asked), target=Target("script", str(program), (str(status),)))
    run = run_of(planned, tmp_path / "run")
    for attempt in (1, 2):
        done = execute(run, planned)
        assert done.returncode == expected
        assert f"launch: attempt {attempt}\n" in done.stdout
        assert run.events("ended")[-1] | {"time": 0, "first_failure": 0} == {
            "event": "ended", "time": 0, "attempt": attempt, "submission": 1, "outcome": outcome, "status": status, "step": 0, "first_failure": 0,
        }  # fmt: skip
        if outcome == "failed":
            assert "rank 0 on node 0" in done.stdout and f"exit status {status}" in done.stdout
        if outcome == "done":
            break
    if outcome == "done":  # a run that has its result is never started again
        again = execute(run, planned)
        assert (again.returncode, len(run.events())) == (0, 2), again.stdout + again.stderr


def test_the_lines_of_a_site_share_a_shell_and_one_that_fails_ends_the_job(tmp_path: Path, fakes: Path):
    """What a sourced file does on its way is its own affair."""
    (tmp_path / "env.sh").write_text("false\nexport SOURCED=1\ncd /\n")
    (tmp_path / "end.sh").write_text("cd /\nexit 0\n")
    lines = [f"source {tmp_path}/env.sh", "f() { false; true; }  # a function", "f", "if false; then", "  false", "fi"]
    lines += ["false || export NOTE=$SOURCED\nexport NOTE=$NOTE$NOTE", "test -e /nonexistent || true"]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    target = Target("script", str(program), ("0",))
    planned = plan(here=cluster(setup=lines), target=target)
    done = execute(run_of(planned, tmp_path / "good"), planned)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((fakes / "srun.json").read_text())["note"] == "11"
    (fakes / "srun.json").unlink()
    for number, bad in enumerate(
        [
            "source /nonexistent/env.sh",
            "f() { return 3; }\nf nosuch",
            "true\nnosuch  # a\ntrue",
            f"source {tmp_path}/end.sh",
        ]
    ):
        planned = plan(here=cluster(setup=["ulimit -c 0", bad, "true"]), target=target)
        run = run_of(planned, tmp_path / f"bad{number}")
        done = execute(run, planned)
        line = next(line for line in bad.splitlines() if "nosuch" in line or "source" in line)
        line = "it has ended this shell" if "end.sh" in line else line
        assert done.returncode == 1 and f": {line}\n" in done.stderr, done.stderr
        assert run.events("ended")[0]["outcome"] == "failed" and not (fakes / "srun.json").exists()


def test_a_line_of_the_site_that_fails_ends_a_packed_study(tmp_path: Path, fakes: Path):
    plans = packed(cluster(setup=["source /nonexistent/env.sh"]))
    run = run_of(plans[0], tmp_path / "weak" / plans[0].name)
    job = tmp_path / "job.sh"
    job.write_text(script(the_job(tmp_path / "weak", [(run, plans[0])])))
    done = subprocess.run(["bash", job], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and ": source /nonexistent/env.sh\n" in done.stderr, done.stderr
    assert not run.events()


def test_what_a_line_of_the_site_sets_in_the_shell_does_not_end_a_packed_study(tmp_path: Path, fakes: Path):
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit(3)")
    here, target = cluster(setup=["set -eu"]), Target("script", str(program))
    plans = [plan(Request(name=f"r{number}", time="30", pack=True), here, target=target) for number in (1, 2)]
    runs = [run_of(each, tmp_path / "weak" / each.name) for each in plans]
    job = tmp_path / "weak" / "jobs" / "1" / "job.sh"
    job.parent.mkdir(parents=True)
    job.write_text(script(the_job(tmp_path / "weak", list(zip(runs, plans)))))
    subprocess.run(["bash", job], cwd=job.parent, capture_output=True, timeout=60)
    assert [run.events("ended")[0]["outcome"] for run in runs] == ["failed", "failed"]


def test_a_module_that_does_not_load_ends_the_attempt(tmp_path: Path, fakes: Path):
    planned = plan(here=cluster(modules=["gcc/99"]))
    run = run_of(planned, tmp_path / "run")
    done = execute(run, planned)  # a plain bash has no command of the name `module`
    assert done.returncode == 1 and "module" in done.stderr
    assert [event["event"] for event in run.events()] == ["started", "ended"]
    assert run.events("ended")[0]["outcome"] == "failed"
    assert not (fakes / "srun.json").exists()


FAKE_APPTAINER = """#!{python}
# As the runtime, but for the walls: notes how it was called, and starts what stands behind the image.
import json, os, sys
words = sys.argv[1:]
image = next(place for place, word in enumerate(words[1:], 1) if not word.startswith("-"))
json.dump(words[: image + 1], open(os.environ["FAKES"] + "/apptainer.json", "w"))
os.execvp(words[image + 1], words[image + 1 :])
"""


def test_a_rank_in_a_container(tmp_path: Path, fakes: Path):
    """The real runtime may not be installed (test_image.py); the command that it is given is started here as it would be in an image."""
    (fakes / "apptainer").write_text(FAKE_APPTAINER.format(python=sys.executable))
    (fakes / "apptainer").chmod(0o755)
    folder = tmp_path / "a b'$(touch x)"
    folder.mkdir()
    (folder / "my image.sif").touch()
    program = folder / "program.py"
    program.write_text(PROGRAM)
    here = cluster(container="apptainer", container_python=sys.executable, container_args=["--cleanenv"])
    asked = Request(container=str(folder / "my image.sif"), runs=folder / "runs", gpus_per_node=0)
    planned = plan(asked, here, Target("script", str(program), ("0",)), cwd=str(folder))
    run = run_of(planned, folder / "runs" / "first")
    done = execute(run, planned)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run.result()["status"] == "done"
    called = json.loads((fakes / "apptainer.json").read_text())
    assert called[0] == "exec" and called[-2:] == ["--cleanenv", str(folder / "my image.sif")]
    seen = [Path(word.removeprefix("--bind=")) for word in called[1:-2]]
    # The run, the program and the toolkit lie in what is bound.
    for needed in (run.path, program, Path(site.__file__)):
        assert any(needed.is_relative_to(path) for path in seen), (needed, seen)
    assert not list(tmp_path.rglob("x"))
