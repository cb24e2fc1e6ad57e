"""What to ask for next time: the rules, on what runs used; their sources, in run directories; the verb, on both."""

import shlex
from pathlib import Path
from typing import Any

import plans
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.cli import status
from launch.errors import Refusal
from launch.plan import options
from launch.plan.request import Request
from launch.plan.walltime import walltime
from launch.record.contents import PlanRecord
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json
from launch.submit.advice import advice, best_nodes, findings
from launch.submit.advice.used import Use
from profiling.telemetry import used as reader
from profiling.telemetry.reading_lines import ReadingWriter

GIB = 2**30
READ = {"node_memory_bytes": 3 * GIB, "rank_cores": 1.3, "all_busy": False, "gpus": [], "unreadable": ""}


def use(plan: dict[str, Any] | None = None, read: dict[str, Any] | None = READ, **known: Any) -> Use:
    """A run that is done after ten minutes on one node of Slurm, but for what is said."""
    asked = PlanRecord(workload="a", backend="slurm", nodes=1, ranks_per_node=2) | (plan or {})
    whole = Use(RunDir("run"), asked, True, (600.0,), 0, None, False, 64 * GIB, False, read)
    return whole._replace(**known)


def advised(*uses: Use) -> dict[str, tuple[str, ...]]:
    """The options, by what they are of."""
    return {finding.what: finding.options for finding in findings.of(uses) if finding.options}


def gpu(device: str, rank: int | None, utilization: float | None, readings: int = 100, node: int = 0) -> dict[str, Any]:
    return {"node": node, "device": device, "rank": rank, "utilization": utilization, "readings": readings}


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([use({"time_s": 7200})], ("--time", "00:15:00")),
        ([use({"time_s": 7200}), use({"time_s": 7200}, seconds=(660.0,))], ("--time", "00:20:00")),
        ([use({"time_s": 1100})], None),  # 15 minutes of 18 are not worth a word
        ([use()], ("--time", "00:15:00")),  # of no limit
        ([use({"backend": "local"})], None),
        ([use({"time_s": 7200}, seconds=(30.0,))], None),  # too short to say anything
        ([use({"time_s": 7200}, done=False)], None),  # failed
        ([use({"time_s": 1200}, done=False, at_limit=1, seconds=(1200.0,))], ("--time", "00:40:00")),
        ([use({"time_s": 1200}, done=False, at_limit=1, needs_s=2400.0)], ("--time", "01:00:00")),
        ([use({"time_s": 1200, "max_attempts": 9}, at_limit=3)], None),  # which is how it is meant to go on
        ([use({"time_s": 1200}, at_limit=1, seconds=(1200.0, 300.0))], ("--time", "00:40:00")),
    ],
)  # fmt: skip
def test_time(uses: list[Use], expected: tuple[str, ...] | None):
    assert advised(*uses).get("time") == expected


@given(st.floats(60, 10**6), st.integers(60, 10**6))
def test_no_less_time_is_advised_than_was_used(seconds: float, limit: int):
    if options_ := advised(use({"time_s": limit}, seconds=(seconds,))).get("time"):
        assert (walltime(options_[1]) or 0) >= seconds


@pytest.mark.parametrize(
    ("plan", "read", "expected"),
    [
        ({"cpus_per_task": 8}, {"rank_cores": 1.3}, ("--cpus-per-task", "2")),
        ({"cpus_per_task": 8}, {"rank_cores": 0.2}, ("--cpus-per-task", "1")),
        ({"cpus_per_task": 8}, {"rank_cores": 7.2}, None),
        ({"cpus_per_task": 8}, {"rank_cores": 1.3, "all_busy": True}, None),
        ({"cpus_per_task": 8}, {"rank_cores": None}, None),
        ({}, {"rank_cores": 1.3}, None),  # who did not ask has what the site gives
        ({"cpus_per_task": 8, "site": "perlmutter", "ranks_per_node": 16}, {"rank_cores": 1.3}, None),  # all of a node
    ],
)  # fmt: skip
def test_cores(plan: dict[str, Any], read: dict[str, Any], expected: tuple[str, ...] | None):
    assert advised(use(plan, READ | read)).get("cores per rank") == expected


MEM = {"sbatch_args": ["--mem=64G"]}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (use(MEM), ("--sbatch-arg=--mem=5G",)),
        (use({"directives": {"mem": "64G"}}), ("--sbatch-arg=--mem=5G",)),
        (use(), None),  # by default: nobody asked
        (use(MEM, whole_node=True), None),
        (use(MEM, asked_memory=5 * GIB), None),
        (use(MEM, READ | {"node_memory_bytes": None}), None),
        (use(MEM, None, done=False, out_of_memory=True), ("--sbatch-arg=--mem=96G",)),
        (use(MEM, None, done=False, out_of_memory=True, asked_memory=None), None),
    ],
)
def test_memory(one: Use, expected: tuple[str, ...] | None):
    assert advised(one).get("memory per node") == expected


@pytest.mark.parametrize(("backend", "words"), [("pbs", 'chunk = { mem = "96gb" }'), ("flux", "more nodes")])
def test_where_no_option_asks_for_memory_it_is_said(backend: str, words: str):
    short = use(MEM | {"backend": backend}, None, done=False, out_of_memory=True)
    (memory,) = (finding for finding in findings.of([short]) if finding.what.startswith("memory"))
    assert not memory.options and words in memory.note


FOUR = {"gpus_per_node": 4, "ranks_per_node": 2}


@pytest.mark.parametrize(
    ("plan", "gpus", "expected"),
    [
        # The first two are the ranks' own, and what they leave idle is theirs.
        (FOUR, [gpu("a", 0, 0.9), gpu("b", 1, 0.8), gpu("c", None, 0), gpu("d", None, 0)], ("--gpus-per-node", "2")),
        (FOUR | {"gpu_type": "a100"}, [gpu("a", 0, 0.9), gpu("b", 1, 0.8)], ("--gpus-per-node", "a100:2")),
        (FOUR, [gpu(name, None, 0) for name in "abcd"], ("--gpus-per-node", "0")),
        (FOUR, [gpu("a", 0, 0.9), gpu("b", 1, None)], None),  # how busy it is it does not say
        (FOUR, [gpu("a", 0, 0.9), gpu("b", 1, 0.9), gpu("c", None, 0, readings=3), gpu("d", None, 0.1)], None),
        ({"gpus_per_node": 2}, [gpu("a", 0, 0.9), gpu("b", 1, 0)], None),
        (FOUR, [], None),
    ],
)  # fmt: skip
def test_gpus(plan: dict[str, Any], gpus: list[dict[str, Any]], expected: tuple[str, ...] | None):
    assert advised(use(plan, READ | {"gpus": gpus})).get("GPUs per node") == expected


def test_gpus_that_could_not_be_read_are_not_called_unused():
    found = findings.of([use(FOUR, READ | {"gpus": [gpu("a", 0, 0)], "unreadable": "no NVML"})])
    assert next(each for each in found if each.what.startswith("GPU")).used == "not known: no NVML"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Two ranks on a node of Slurm, done after ten minutes, with the readings of two of them."""
    asked = Request(time="120", cpus_per_task=8, ranks_per_node=2, sbatch_arg=("--mem=64G",))
    made = plans.run_of(plans.plan(asked), tmp_path / "run")
    made.append_event("started", attempt=1)
    made.append_event("ended", attempt=1, outcome="done", status=0)
    begun, ended = made.events_jsonl.read_text().splitlines()
    at = made.events()[0]["time"]
    made.events_jsonl.write_text(f"{begun}\n{ended.replace(str(made.events()[1]['time']), str(at + 600))}\n")
    publish_json(made.result_json, {"status": "done", "ranks": 2, "nodes": 1})
    publish_json(made.env_json, {"environment": {"SLURM_MEM_PER_NODE": "65536"}})
    begin = 1_800_000_000_000
    with ReadingWriter(made.node_readings(0, 1)) as writer:
        for second in range(120):
            at_once = {"time_ms": begin + 1000 * second, "node": 0, "attempt": 1}
            writer.write(
                [
                    at_once | {"rank": 0, "cpu_ms": 900 * second, "rss_bytes": GIB},
                    # Busy for half a minute, and with two gibibytes at one moment.
                    at_once | {"rank": 1, "cpu_ms": 2500 * min(second, 30), "rss_bytes": GIB * (1 + (second == 70))},
                    at_once | {"host_available_bytes": 100 * GIB - second, "host_cpu_ms": 3900 * second},
                ]
            )
    return made


def test_what_readings_say(run: RunDir):
    found = reader.of_run(run)
    expected = {"node_memory_bytes": 3 * GIB, "rank_cores": pytest.approx(2.5), "all_busy": False}
    assert found == expected | {"gpus": [], "unreadable": ""}
    append_line(run.reading_notes(0), {"event": "began", "cores": 4, "missing": {"GPU-1": "lost"}})
    assert reader.of_run(run) == expected | {"all_busy": True, "gpus": [], "unreadable": "lost"}


def test_memory_that_no_rank_is_seen_to_have(run: RunDir):
    with ReadingWriter(run.node_readings(1, 1)) as writer:
        for second, free in enumerate((100, 90, 95)):
            at_once = {"time_ms": 1_800_000_000_000 + 1000 * second, "node": 1, "attempt": 1}
            writer.write([at_once | {"rank": 2, "rss_bytes": GIB}, at_once | {"host_available_bytes": free * GIB}])
    found = reader.of_run(run)
    assert found and found["node_memory_bytes"] == 10 * GIB


def test_the_options_can_be_pasted(run: RunDir, capsys: pytest.CaptureFixture[str]):
    assert status.main(["--advice", str(run.path)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    values, rest = options.split(Request, shlex.split(line.removeprefix("next time: ")))
    assert rest == []
    assert values == {"time": "00:15:00", "cpus_per_task": 3, "sbatch_arg": ("--mem=5G",)}
    assert line.removeprefix("next time: ") in advice.brief(run.path)


def test_a_run_that_ran_out_of_memory(run: RunDir):
    run.result_json.unlink()
    failure = {"rank": 0, "host": "node1", "error": "ended by Out Of Memory"}
    run.append_event("ended", attempt=1, outcome="failed", status=1, first_failure=failure)
    assert "--sbatch-arg=--mem=96G" in advice.of(run.path).options
    run.append_event(
        "ended", attempt=1, outcome="failed", status=1, first_failure=failure | {"error": "CUDA out of memory"}
    )
    assert advice.of(run.path).options == []
    limited = failure | {"error": "MemoryError", "address_space": 2**30}  # ulimit -v: the node had memory left
    run.append_event("ended", attempt=1, outcome="failed", status=1, first_failure=limited)
    assert advice.of(run.path).options == []
    run.append_event("ended", attempt=1, outcome="failed", status=1, first_failure=limited | {"address_space": None})
    assert "--sbatch-arg=--mem=96G" in advice.of(run.path).options


def test_nothing_is_said_of_a_run_that_is_under_way(run: RunDir):
    run.append_event("started", attempt=2)
    assert advice.of(run.path).runs == 0


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ([(1, 100), (2, 190), (4, 300), (8, 330)], 4),  # X^2/n: 10000, 18050, 22500, 13613
        ([(1, 100), (2, 100), (4, 100)], 1),
        ([(1, 100), (2, 200), (4, 400)], 4),
        ([(1, 100), (2, 141.4)], 1),
    ],
)
def test_best_nodes(tmp_path: Path, rates: list[tuple[int, float]], best: int):
    entries = [{"run": f"n{nodes}", "nodes": nodes, "values": {}, "repeat": 1} for nodes, _ in rates]
    publish_json(tmp_path / "study.json", {"runs": entries})
    for nodes, rate in rates:
        (tmp_path / f"n{nodes}").mkdir()
        result = {"status": "done", "ranks": nodes, "nodes": nodes, "throughput_examples_per_s": rate}
        publish_json(RunDir(tmp_path / f"n{nodes}").result_json, result)
    (found,) = best_nodes.of(tmp_path)
    assert found.nodes == best
    cost = found.rows()[-1]
    assert cost["node_hours"] == pytest.approx(1 / cost["efficiency"])
    assert f"{best} node" in best_nodes.said(found)
    assert ("not faster" in best_nodes.said(found)) == (rates[0][1] == max(rate for _, rate in rates))


def test_advice_on_what_is_no_run(tmp_path: Path):
    with pytest.raises(Refusal):
        status.main(["--advice", str(tmp_path)])
