"""In what two runs differ."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from launched import launch
from plans import EIGHT_CORES, LAPTOP, plan, run_of

from launch.cli.diff import differences, facts, report
from launch.plan.request import Request
from launch.plan.target.workload import Target
from launch.record.rundir import RunDir
from launch.record.study import INDEX
from launch.record.writing import publish, publish_json

PATCH = """diff --git a/mesh.py b/mesh.py
index 257cc56..5716ca5 100644
--- a/mesh.py
+++ b/mesh.py
@@ -1,2 +1,2 @@
-cells = 1
+cells = {}
 b = 2
"""
ENV = {
    "host": "node1", "system": "Linux", "cpu": "AMD EPYC 7763", "cores": 64, "gpus": ["A100"] * 4, "driver": "535.1",
    "python": "3.11.7", "packages": {"keras": "3.15.1", "numpy": "2.0.2"}, "modules": ["gcc/12"],
    "environment": {"OMP_NUM_THREADS": "4", "SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "LD_LIBRARY_PATH": "/a/lib:/b/lib"},
}  # fmt: skip
RESULT = {
    "status": "done", "metrics": {"loss": 0.5}, "throughput_examples_per_s": 100.0, "steps": 40,
    "phases_s": {"train": 10.0, "queue": None}, "versions": {"horovod": "0.28.1"},
}  # fmt: skip


def made(path: Path, *arguments: str, request: Request | None = None, **kept: dict | str) -> RunDir:
    planned = plan(
        request or Request(name=path.name), here=LAPTOP, machine=EIGHT_CORES, target=Target("script", "a.py", arguments)
    )
    run = run_of(planned, path)
    publish_json(run.run_json, planned.to_json() | {"commit": kept.get("commit", "0" * 40)})
    if "env" in kept:
        publish_json(run.env_json, kept["env"])
    if "result" in kept:
        publish_json(run.result_json, kept["result"])
    if "patch" in kept:
        publish(run.patch, kept["patch"])
    return run


def compared(one: RunDir, other: RunDir) -> dict[str, dict[str, list]]:
    return differences(facts(one), facts(other))


def test_a_sentence_is_shown_whole():
    one, other = (f"speed: no line of the ranks' logs has it: {name} is looked for in logs/" for name in ("a b", "c d"))
    lines = report(
        ["one", "other"],
        {"results": {"troubles": [[one], [other]]}, "environment": {"PATH": ["/a:" * 30, "/a:" * 30 + "/b"]}},
    )
    assert f"    < {one}" in lines and f"    > {other}" in lines
    assert "    > /b" in lines and not any("/a" in line for line in lines)


def test_a_run_made_again_does_not_differ(tmp_path: Path):
    one = made(tmp_path / "one", "--width=64", env=ENV, result=RESULT, patch=PATCH.format(2))
    job = {"environment": ENV["environment"] | {"SLURM_JOB_ID": "8"}}
    again = made(tmp_path / "again", "--width=64", env=ENV | job, result=RESULT, patch=PATCH.format(2))
    assert compared(one, again) == {}
    assert report(["one", "again"], {}) == ["one and again do not differ"]


def test_each_group(tmp_path: Path):
    one = made(tmp_path / "one", "mesh", "--width=64", "--fast", env=ENV, result=RESULT, patch=PATCH.format(2))
    env = ENV | {
        "gpus": ["H200"] * 8,
        "python": "3.12.1",
        "packages": {"keras": "3.16.0", "numpy": "2.0.2", "torch": "2.4"},
    }
    env |= {
        "environment": {"OMP_NUM_THREADS": "8", "SLURM_NNODES": "1", "LD_LIBRARY_PATH": "/c/lib:/b/lib"},
        "modules": [],
    }
    result = RESULT | {
        "metrics": {"loss": 0.25},
        "throughput_examples_per_s": 150.0,
        "phases_s": {"train": 5.0, "queue": 1.0},
    }
    request = Request(name="other", nodes=2, seed=3)
    other = made(
        tmp_path / "other", "--width", "128", "grid", request=request, env=env, result=result, patch=PATCH.format(3), commit="1" * 40
    )  # fmt: skip
    found = compared(one, other)
    assert found["plan"] == {
        "seed": [0, 3], "nodes": [1, 2], "--width": ["64", "128"], "--fast": [True, None], "arguments": ["mesh", "grid"]
    }  # fmt: skip
    assert found["code"]["commit"] == ["0" * 40, "1" * 40]
    assert [value.split()[:2] for value in found["code"]["mesh.py"]] == [["+1", "-1"], ["+1", "-1"]]
    assert found["environment"].keys() == {"OMP_NUM_THREADS", "LD_LIBRARY_PATH", "modules"}
    assert found["versions"] == {"python": ["3.11.7", "3.12.1"], "keras": ["3.15.1", "3.16.0"], "torch": [None, "2.4"]}
    assert found["machine"] == {"gpus": [["A100"] * 4, ["H200"] * 8]}
    assert found["results"] == {
        "throughput_examples_per_s": [100.0, 150.0], "metrics.loss": [0.5, 0.25],
        "seconds.train": [10.0, 5.0], "seconds.queue": [None, 1.0],
    }  # fmt: skip
    lines = report(["one", "other"], found)
    told = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert told["gpus"] == ["4", "x", "A100", "8", "x", "H200"]
    assert told["torch"] == ["-", "2.4"]
    assert told["throughput_examples_per_s"] == ["100", "150", "(+50.0%)"]
    # The values of a column begin below each other.
    assert len({line.index(value) for line in lines for value in ("128", "3.16.0", "8 x H200") if value in line}) == 1


def test_of_a_long_list_of_paths_only_those_that_one_lacks(tmp_path: Path):
    long = {"LD_LIBRARY_PATH": "/opt/" + "x" * 60 + "/lib:/a"}, {"LD_LIBRARY_PATH": "/b:/opt/" + "x" * 60 + "/lib"}
    lines = report(["a", "b"], {"environment": {"LD_LIBRARY_PATH": [one["LD_LIBRARY_PATH"] for one in long]}})
    assert lines[-3:] == ["  LD_LIBRARY_PATH", "    < /a", "    > /b"]


def test_runs_of_a_study_have_its_code(tmp_path: Path):
    for name in ("s/a", "s/b"):
        (tmp_path / "s").mkdir(exist_ok=True)
        run = made(tmp_path / name)
        publish_json(run.run_json, plan(Request(name="x"), here=LAPTOP).to_json())
    publish_json(tmp_path / "s" / INDEX, {"runs": []})
    publish_json(tmp_path / "s" / "code.json", {"commit": "2" * 40})
    publish(tmp_path / "s" / "code.patch", PATCH.format(9))
    assert compared(RunDir(tmp_path / "s/a"), RunDir(tmp_path / "s/b")) == {}
    found = compared(RunDir(tmp_path / "s/a"), made(tmp_path / "alone"))
    assert found["code"]["commit"] == ["2" * 40, "0" * 40] and found["code"]["mesh.py"][1] is None


def test_no_secret_of_a_command_line_is_shown(tmp_path: Path):
    one, other = made(tmp_path / "a", "--api-key", "hunter2"), made(tmp_path / "b", "--lr=1")
    assert "hunter2" not in json.dumps(compared(one, other))


values = st.dictionaries(
    st.sampled_from("abc"), st.none() | st.integers(0, 2) | st.text(max_size=60) | st.floats(0, 2), max_size=3
)
tables = st.fixed_dictionaries({"plan": values, "results": values})


@settings(deadline=None, max_examples=100)
@given(tables, tables)
def test_all_differences_and_only_these(one: dict, other: dict):
    found = differences(one, other)
    for group in one:
        for name in "abc":
            pair = [one[group].get(name), other[group].get(name)]
            assert found.get(group, {}).get(name, "same") == (pair if pair[0] != pair[1] else "same")
    assert differences(one, one) == {}
    lines = report(["one", "other"], found)
    assert all(any(name in line for line in lines) for group in found for name in found[group])


def test_the_verb(tmp_path: Path):
    made(tmp_path / "a", env=ENV, result=RESULT), made(tmp_path / "b", env=ENV | {"driver": "550.2"})
    done = launch("diff", tmp_path / "a", tmp_path / "b")
    assert (done.returncode, done.stderr) == (0, "") and "driver" in done.stdout and "550.2" in done.stdout
    told = json.loads(launch("diff", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert told["runs"] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert told["differences"]["machine"] == {"driver": ["535.1", "550.2"]}
    assert "exit status is 0" in launch("diff", "--help").stdout
    for words, says in (
        ([tmp_path / "a"], "diff needs two runs, and 1 are given"),
        ([tmp_path, tmp_path], "is not a run"),
    ):
        refused = launch("diff", *words)
        assert refused.returncode == 2 and says in refused.stderr and refused.stderr.count("\n") == 1


def test_runs_of_two_ranks(tmp_path: Path):
    script = tmp_path / "hello.py"
    script.write_text("print('hello')\n")
    for name in ("a", "b"):
        done = launch(
            "--backend", "local", "--nodes", 2, "--independent", "--wait", "--runs", tmp_path, "--name", name, script
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    done = launch("diff", tmp_path / "a", tmp_path / "b", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["differences"]
    assert not [name for name in found.get("machine", {}) if name.startswith("network")]
