"""Figures of merit: how they are asked for, found in what ranks print, and what becomes of a run that prints them."""

import datetime
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from launched import ROOT, environment, launch
from plans import plan, run_of

from launch.cli.definition import definition
from launch.errors import Refusal
from launch.plan import figures as asked
from launch.plan import patterns
from launch.plan.request import Request
from launch.plan.target.workload import Target
from launch.record import progress
from launch.record.files import lines_from_end
from launch.record.performance import figures, steps
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit import cutoff, states
from launch.submit.study import efficiency

NS_PER_DAY = r"throughput=Performance: *([0-9.eE+-]+) *ns/day"


def words(*figures_: str, units: tuple[str, ...] = (), how: tuple[str, ...] = ()) -> dict[str, asked.Figure]:
    return asked.from_words(figures_, units, how)


def run(
    folder: Path, fom: dict[str, asked.Figure], *logs: bytes, ranks_per_node: int = 2, **more: object
) -> figures.Result:
    """What becomes of a run on a node for each log."""
    planned = plan(nodes=max(1, len(logs)), ranks_per_node=ranks_per_node, fom=fom, **more)
    made = run_of(planned, folder / "run")
    for node, log in enumerate(logs):
        made.node_log(node).write_bytes(log)
    return figures.result(made, planned, {}, [])


def test_as_they_are_asked_for():
    assert words(NS_PER_DAY, units=("ns/day",)) == {
        "throughput": {"pattern": NS_PER_DAY.partition("=")[2], "kind": "rate", "unit": "ns/day"}
    }
    several = words(
        NS_PER_DAY, "wall=T=([0-9]+)", "n=N ([0-9]+)", units=("ns/day", "wall=s"), how=("wall=time,max,all", "n=3")
    )
    assert several["wall"] == {"pattern": "T=([0-9]+)", "kind": "time", "take": "max", "ranks": "all", "unit": "s"}
    assert (
        several["throughput"]["unit"] == "ns/day" and several["n"]["ranks"] == "3" and several["n"]["kind"] == "value"
    )
    lammps = words("lammps", "cells=([0-9]+) cells", how=("atoms=value", "cells=work"))
    assert {name: figure["kind"] for name, figure in lammps.items()} == {
        "throughput": "speed", "loop_time": "time", "atoms": "value", "cells": "work"
    }  # fmt: skip
    for kind, take in (("rate", "sum"), ("time", "max"), ("work", "sum"), ("value", "mean")):
        assert asked.take({"pattern": "()", "kind": kind, "ranks": "all"}) == take
        assert asked.take({"pattern": "()", "kind": kind}) == "last"


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"fom": ("throughput=([0-9]+",)}, "is not a regular expression"),
        ({"fom": ("throughput=[0-9]+",)}, "has no groups"),
        ({"fom": ("throughput=([0-9]+)/([0-9]+)",)}, r"has 2 groups"),
        ({"fom": ("throughput=([0-9]+)", "throughput=x ([0-9]+)")}, "throughput is given twice"),
        ({"fom": ("lammps", "atoms=x ([0-9]+)")}, "atoms is given twice"),
        ({"fom": ("lamps",)}, "did you mean 'lammps'"),
        ({"fom": ("my rate=([0-9]+)",)}, "nor a code"),
        ({"fom": ("x=([0-9]+)+$",)}, "takes forever"),
        ({"fom": ("x=(?:a|a)*([0-9])",)}, "takes forever"),
        ({"fom": ("a=([0-9])", "b=([0-9])"), "fom_as": ("a=rate", "b=speed")}, "a and b are both the throughput"),
        ({"fom": ("a=([0-9])", "b=([0-9])"), "fom_as": ("a=work", "b=work")}, "two figures are the work"),
        ({"fom": ("a=([0-9])", "b=([0-9])"), "fom_unit": ("s",)}, "does not say of which figure"),
        ({"fom": ("a=([0-9])",), "fom_unit": ("b=s",)}, "there is no --fom b"),
        ({"fom": ("a=([0-9])",), "fom_unit": ("a=s", "h")}, "the unit of a is given twice"),
        ({"fom": ("a=([0-9])",), "fom_unit": ("a=" + 50 * "s",)}, "give a short word"),
        ({"fom": ("a=([0-9])",), "fom_as": ("a=tiem",)}, "did you mean 'time'"),
        ({"fom": ("a=([0-9])",), "fom_as": ("a=time,rate",)}, "exclude each other"),
        ({"fom": ("a=([0-9])",), "fom_as": ("a=7",)}, "rank 0 alone"),
        ({"fom_unit": ("s",)}, "does not say of which"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_the_start(given_: dict, said: str):
    began = time.monotonic()
    with pytest.raises(Refusal, match=said) as refused:
        plan(Request(**given_))
    assert "\n" not in str(refused.value) and time.monotonic() - began < 5


def test_a_workload_has_none():
    with pytest.raises(Refusal, match="records its own figures"):
        plan(Request(fom=("lammps",)), target=Target("workload", "workloads.mnist"))


def test_in_a_definition(tmp_path: Path):
    (tmp_path / "program.py").write_text("")
    file = tmp_path / "run.toml"
    file.write_text(f"""
workload = "{tmp_path}/program.py"
[fom.throughput]
pattern = 'Performance: *([0-9.]+)'
unit = "ns/day"
[fom.wall]
pattern = 'took ([0-9]+) s'
kind = "time"
take = "sum"
ranks = "all"
[job]
nodes = [1, 2]
fom = ["n=N ([0-9]+)"]
""")
    order = definition.read(str(file), {}, (), datetime.datetime.now())[1][0]
    found = plan(order.asked).fom
    assert list(found) == ["n", "throughput", "wall"] and found["throughput"]["unit"] == "ns/day"
    assert found["wall"] == {"pattern": "took ([0-9]+) s", "kind": "time", "take": "sum", "ranks": "all"}
    other = definition.read(str(file), {"fom": ("lammps",)}, (), datetime.datetime.now())[1][0]
    assert "atoms" in plan(other.asked).fom  # the command line goes before the file
    for wrong, said in (("kind = 'speedy'", "give one of"), ("patern = 'x'", "did you mean 'pattern'"), ("ranks = 'few'", "the number of a rank")):  # fmt: skip
        file.write_text(f"workload = '{tmp_path}/program.py'\n[fom.a]\npattern = '([0-9])'\n{wrong}\n")
        with pytest.raises(Refusal, match=said):
            definition.read(str(file), {}, (), datetime.datetime.now())


LOG = b"""0: step 1 rate 5 MB/s\rstep 2 rate 6 MB/s\rstep 3 rate 7.5D+00 MB/s
1: rate 70 MB/s
0: \xff\xfe not UTF-8 rate 8 MB/s and more
 1: rate 80 MB/s
noise without a label: rate 9 MB/s
"""


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ((), 8), (("rate=mean",), (5 + 6 + 7.5 + 8) / 4), (("rate=sum",), 26.5), (("rate=max",), 8), (("rate=min",), 5),
        (("rate=1",), 80), (("rate=1,min",), 70), (("rate=all",), 88), (("rate=all,mean",), 44), (("rate=all,max",), 80),
    ],
)  # fmt: skip
def test_from_which_ranks_and_which_of_several(tmp_path: Path, how: tuple[str, ...], value: float):
    found = run(tmp_path, words(r"rate=rate (\S+) MB/s", units=("MB/s",), how=how), LOG)
    assert found["metrics"] == {"rate": pytest.approx(value)} and found["throughput"] == pytest.approx(value)
    assert found["unit"] == "MB/s" and found["units"] == {"rate": "MB/s"} and "troubles" not in found


def test_colours_are_not_seen(tmp_path: Path):
    log = b"0: \x1b[1mrate:\x1b[0m \x1b[38;5;2m35.5\x1b[0m MB/s\x1b[K\n0: done\n"
    assert run(tmp_path, words(r"throughput=rate: ([0-9.]+) MB/s"), log)["throughput"] == 35.5


def test_what_was_recorded_and_is_none_is_said_too(tmp_path: Path):
    planned = plan(nodes=1, ranks_per_node=1)
    made = run_of(planned, tmp_path / "run")
    cut = b'{"step": 2, "sta\n'  # by a kill
    made.rank_steps(0).write_bytes(
        cut
        + b"""{"metrics": {"residual": nan}}
{"metrics": {"loss": 1e999, "error": 3, "name": "x"}}
{"metrics": {"name": 5}}
"""
    )
    found = figures.result(made, planned, steps.reported(made, 1), [])
    assert found["metrics"] == {"error": 3, "name": 5}
    loss, line = found["troubles"]
    assert loss.startswith("loss: inf is not") and line.startswith("1 recorded line") and "nan" in line


@pytest.mark.parametrize(
    ("pattern", "line", "trouble"),
    [
        ("T: *([0-9.]+)", b"T: 1.9k tokens/s", "'1.9' of '1.9k'"),
        ("T: *([0-9.]+)", b"T: 1,900 tokens/s", "'1' of '1,900'"),
        ("T: *([0-9.]+)", b"T: 9.8e2 tokens/s", "'9.8' of '9.8e2'"),
        ("([0-9]+) tokens/s", b"1,900 tokens/s", "'900' of '1,900'"),
        ("([0-9]+)", b"T: 12.5", "'12' of '12.5'"),
        ("T: *([0-9.]+)k", b"T: 1.9k tokens/s", ""),
        ("T: *([0-9.]+)", b"T: 19tokens/s, 2 of 3", ""),
        ("([1-9][0-9]*)", b"n0042", ""),
        ("T: *([0-9.]+)", b"T: 19Kernels", ""),
        ("T: *([0-9]+)", b"T: 12,5 s", "'12' of '12,5'"),
        ("T: *([0-9]+)", b"T: 1,900,000", "'1' of '1,900,000'"),
        # lists, and a unit
        ("triad,([0-9.]+)", b"triad,12345.6,0.00123", ""),
        ("triad,([0-9]+)", b"triad,12345,6", ""),
        ("([0-9.]+) ms", b"64,128,3.5 ms", ""),
        (r"\(([0-9.]+)", b"(1.5,2.5)", ""),
        ("bw ([0-9.]+)", b"bw 12.5x/s", ""),
        ("nodes=([0-9]+),", b"nodes=4,8", ""),
    ],
)
def test_a_pattern_that_takes_a_part_of_a_number(tmp_path: Path, pattern: str, line: bytes, trouble: str):
    some = run(tmp_path, words(f"throughput={pattern}", units=("x",)), b"0: " + line + b"\n")
    assert ("throughput" in some) != bool(trouble)
    assert trouble in "".join(some.get("troubles", []))


def test_the_lowest_rank_that_printed_it_on_any_node(tmp_path: Path):
    logs = (b"0: a\n1: b\n", b"3: rate 3\n2: rate 2\n3: rate 33\n", b"4: rate 4\n5: rate 5\n")
    assert run(tmp_path, words(r"throughput=rate ([0-9]+)"), *logs)["throughput"] == 2
    (tmp_path / "all").mkdir()
    some = run(tmp_path / "all", words(r"throughput=rate ([0-9]+)", how=("all",)), *logs)
    assert some["troubles"] == ["throughput: 4 of 6 ranks have printed it"] and "throughput" not in some


@pytest.mark.parametrize(
    ("log", "trouble"),
    [
        (b"0: nothing\n", "matches nothing that the ranks printed"),
        (b"0: rate 5 MB/s\n0: rate nan MB/s\n", "'nan' is not a finite number"),
        (b"0: rate 1e999 MB/s\n", "'1e999' is not a finite number"),
        (b"0: rate 12,5 MB/s\n", "'12,5' is not a finite number; of numbers with a comma none is read"),
        (b"0: rate 0 MB/s\n", "0 is not above 0"),
        (b"", "matches nothing"),
    ],
)
def test_what_is_no_figure_is_said_and_the_others_stand(tmp_path: Path, log: bytes, trouble: str):
    found = run(tmp_path, words(r"throughput=rate (\S+) MB/s", "n=N ([0-9]+)"), log + b"1: N 7\n")
    (said,) = found["troubles"]
    assert said.startswith("throughput: ") and trouble in said
    assert found["metrics"]["n"] == 7 and "throughput" not in found


REPLICAS = b"0: took 0.3 s, rate 30\n1: took 0.4 s, rate 9\n1: took 0.7 s, rate 10\n"


@pytest.mark.parametrize(
    ("pattern", "more", "value", "throughput"),
    [
        ("throughput=rate ([0-9]+)", {}, 40, 40),
        ("time=took ([0-9.]+) s", {}, 0.7, 2 / 0.7),
        ("time=took ([0-9.]+) s", {"scaling": "strong"}, 0.7, 1 / 0.7),
        ("speed=rate ([0-9]+)", {}, 20, 40),
        ("time=took (?P<value>[0-9.]+) (?P<unit>s), rate", {}, 0.7, 2 / 0.7),
    ],
)
@pytest.mark.parametrize("known", [{"independent": True}, {"cooperation": ""}])
def test_ranks_that_work_on_their_own_are_taken_together(
    tmp_path: Path, pattern: str, more: dict, value: float, throughput: float, known: dict
):
    fom = words(pattern)
    found = run(tmp_path, fom, REPLICAS, **known, **more)
    (name,) = found["metrics"]
    assert found["metrics"][name] == pytest.approx(value) and found["throughput"] == pytest.approx(throughput)
    assert found["of_ranks"] == {name: "all"} and "of all ranks" in figures.of_ranks(fom, found)[0]


def test_of_each_rank_on_its_own_the_mean_is_taken_before_all_are_added(tmp_path: Path):
    found = run(tmp_path, words("throughput=rate ([0-9]+)", how=("mean",)), REPLICAS, independent=True)
    assert found["throughput"] == 30 + 9.5


@pytest.mark.parametrize("known", [{"cooperation": "torch.distributed"}, {"cooperation": None}, {"independent": True}])
def test_that_other_ranks_printed_it_too_is_said(tmp_path: Path, known: dict):
    fom, log = words("throughput=rate ([0-9]+)"), b"1: rate 10\n0: rate 30\n"
    logs = (log, b"") if "independent" in known else (log,)  # of the four ranks two have printed it
    found = run(tmp_path, fom, *logs, **known)
    (line,) = figures.of_ranks(fom, found)
    assert found["throughput"] == 30 and "that of rank 0 is taken" in line and "throughput=all takes the sum" in line
    planned = plan(nodes=1, ranks_per_node=2, fom=fom)
    publish_json(RunDir(tmp_path / "run").result_json, found)
    said = progress.summary(RunDir(tmp_path / "run"), planned)
    assert "each" not in said and line in said
    (tmp_path / "meant").mkdir()
    meant = run(tmp_path / "meant", words("throughput=rate ([0-9]+)", how=("throughput=0",)), log, **known)
    assert meant["throughput"] == 30 and "of_ranks" not in meant


def test_a_figure_of_rank_0_alone_is_that_of_all(tmp_path: Path):
    found = run(tmp_path, words("throughput=rate ([0-9]+)"), b"0: rate 30\n1: done\n", b"2: done\n", cooperation="MPI")
    assert found["throughput"] == 30 and "of_ranks" not in found


def test_two_units_of_one_figure(tmp_path: Path):
    pattern = r"throughput=rate (?P<value>[0-9]+) (?P<unit>\S+)"
    assert run(tmp_path, words(pattern), b"0: rate 5 MB/s\n0: rate 7 GB/s\n")["unit"] == "GB/s"
    (tmp_path / "mean").mkdir()
    mean = run(tmp_path / "mean", words(pattern, how=("mean",)), b"0: rate 5 MB/s\n0: rate 7 GB/s\n")
    assert "two units, MB/s and GB/s" in mean["troubles"][0]


def test_a_pattern_that_does_not_end_costs_its_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "SEARCH_S", 0.3)
    endless = asked.Figure(pattern=r"((?:x+x+)+)[yz]", kind="value")  # as it gets by what is tried at the start
    before = signal.getsignal(signal.SIGALRM)
    found = run(tmp_path, {"bad": endless} | words("good=N ([0-9]+)"), b"0: " + 60 * b"x" + b"\n0: N 7\n")
    assert "could not be looked through in 0.3 s" in found["troubles"][0] and found["metrics"] == {"good": 7}
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0


KINDS = {
    "rate": (("r=R ([0-9.]+)",), ("r=rate",), 8.0, "no unit"),
    "speed": (("v=V ([0-9.]+)",), ("v=speed",), 2.0, "no unit"),
    "time": (("t=T ([0-9.]+)",), ("t=time",), 4 / 5, "rank-runs/s"),
    "time of a part": (("t=T (?P<value>[0-9.]+) (?P<unit>s/step)",), ("t=time",), 1 / 5, "step/s"),
    "work": (("t=T ([0-9.]+)", "n=N ([0-9]+)"), ("t=time", "n=work"), 100 / 5, "n/s"),
    "values": (("t=T ([0-9.]+)",), (), None, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_throughput_that_they_make(tmp_path: Path, kind: str):
    patterns_, how, value, unit = KINDS[kind]
    found = run(tmp_path, words(*patterns_, how=how), b"0: R 8\n0: V 2\n0: T 5 s/step\n0: N 100\n", ranks_per_node=4)
    assert (found.get("throughput"), found.get("unit")) == (value and pytest.approx(value), unit)
    strong = figures.throughput(words(*patterns_, how=how), found, "strong", 4)
    assert kind != "time" or strong == figures.Throughput(1 / 5, "runs/s", kind="runs")


def test_old_results_and_those_of_workloads_are_read_too():
    assert figures.of_result({"throughput_examples_per_s": 5.0}) == figures.Throughput(5.0, "examples/s")
    assert figures.of_result({"throughput": 5.0, "unit": "ns/day", "work": 3.0}) == figures.Throughput(
        5.0, "ns/day", 3.0
    )
    assert figures.of_result({}) is None and figures.of_result({"throughput": 1.0}) == figures.Throughput(1.0, "")


@given(st.binary(max_size=300), st.integers(1, 20), st.integers(0, 50))
def test_lines_from_the_end_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int, begin: int
):
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)
    whole = [line for line in lines_from_end(path, begin, block=10_000)]
    assert whole == ([] if len(data) <= begin else data[begin:].split(b"\n")[::-1])
    short = [line for line in whole if len(line) < block]  # of a longer line the end
    assert [line for line in lines_from_end(path, begin, block=block) if len(line) < block and line in short] == short


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"Performance: *([0-9.]+) *ns/day", b"Performance:"), (r"(?i)abc ([0-9])", b""), (r"a|b ([0-9])", b""),
        (r"x{2,3}yy? ([0-9]+)", b"y"), (r"\[rate\] ([0-9])\.z", b"[rate] "), (r"[ab]c\dq(?:foo|bar)baz([0-9])", b"baz"),
        (r"a[]x]bcd([0-9])", b"bcd"), (r"((ab)cd)*x([0-9])", b"x"), (r"(?:ab)?cd([0-9])", b"cd"), ("é ([0-9])", "é ".encode()),
        (r"(?x) ab ([0-9])", b""), (r"(?!no)yes([0-9])", b"yes"), (r"^a+?b*+([0-9])", b"a"),
    ],
)  # fmt: skip
def test_the_plain_part_of_a_pattern(pattern: str, found: bytes):
    assert patterns.literal(pattern) == found


def test_runs_of_a_study_are_compared_in_their_unit(tmp_path: Path):
    """Their efficiency so far, and what is left out as not worth its hours; a speed in weak scaling is times its work."""
    index = {"workload": "md.py", "scaling": "weak", "runs": []}
    for nodes, speed, unit, work in ((1, 10, "ns/day", 100), (2, 9, "ns/day", 200), (4, 9, "GB/s", None)):
        made = run_of(plan(nodes=nodes, ranks_per_node=1), tmp_path / f"n{nodes}")
        result = {"status": "done", "throughput": speed, "unit": unit, "ranks": nodes, "work": work}
        figures_json = {key: value for key, value in result.items() if value is not None}
        publish_json(made.result_json, figures_json)
        index["runs"].append({"run": f"n{nodes}", "nodes": nodes, "values": {}, "repeat": 1})
    publish_json(tmp_path / "study.json", index)
    known, _ = states.look([tmp_path / f"n{nodes}" for nodes in (1, 2, 4)])
    assert list(efficiency.so_far(tmp_path, known).values()) == [1, pytest.approx(0.9)]
    measured = cutoff.measured(2, [RunDir(tmp_path / "n2")])
    assert measured is not None and measured.rate == pytest.approx(1800)
    assert cutoff.measured(2, [RunDir(tmp_path / "n2"), RunDir(tmp_path / "n4")]) is None
    shown = launch("status", tmp_path).stdout
    assert "10 ns/day" in shown and "9 GB/s" in shown
    assert "9..10 ns/day" in launch("list", tmp_path / "n1", tmp_path / "n2").stdout


def test_only_the_last_attempt_counts_and_the_exit_status_is_that_of_the_run(tmp_path: Path):
    """The first attempt prints a figure and runs into its limit; the second prints another, and a third that is missing."""
    (tmp_path / "mine.py").write_text("""
import os, time
first = os.environ["LAUNCH_ATTEMPT"] == "1"
print("early rate", 99 if first else 98, "MB/s", flush=True)
if first:
    print("rate 5 MB/s", flush=True)
    time.sleep(60)
print("rate 7 MB/s", flush=True)
""")
    fom = (
        "--fom",
        "throughput=^rate ([0-9]+)",
        "--fom-unit",
        "MB/s",
        "--fom",
        "early=early rate ([0-9]+)",
        "--fom-as",
        "early=max",
    )
    words_ = (
        "--runs",
        tmp_path,
        "--name",
        "r",
        "--backend",
        "local",
        "--sample-hz",
        "0",
        "--time",
        "0:02",
        "--max-attempts",
        2,
        *fom,
    )
    done = launch(*words_, "--fom", "missing=energy ([0-9]+)", tmp_path / "mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
    result = RunDir(tmp_path / "r").result()
    assert result["metrics"] == {"throughput": 7, "early": 98} and (result["throughput"], result["unit"]) == (7, "MB/s")
    assert re.search(r"throughput +7 MB/s on 1 rank\n", done.stdout) and re.search(
        r"not known +missing: its pattern", done.stdout
    )
    assert "figures        throughput (rate, MB/s)" in done.stdout
    shown = launch("status", tmp_path / "r").stdout
    assert re.search(r"\bMB/s\b.*\n.*done.* 7 .*missing: its pattern matches nothing", shown)


def test_a_study_of_a_bash_script_from_its_launch_to_its_prediction(tmp_path: Path):
    """As LAMMPS prints; on 1, 2 and 4 ranks, with the problem held."""
    script = tmp_path / "md.sh"
    script.write_text(r"""
[ "$RANK" = 0 ] || exit 0
echo "LAMMPS (2 Aug 2023)"
printf 'Step 100\rStep 200\n'
for speed in 1 $((50 * WORLD_SIZE - 2 * WORLD_SIZE * WORLD_SIZE + RANDOM % 2)); do
    echo "Loop time of 0.5 on $WORLD_SIZE procs for 300 steps with 32000 atoms"
    echo
    echo "Performance: $speed.985 ns/day, 0.436 hours/ns, 318.201 timesteps/s, 637.674 katom-step/s"
done
""")
    (tmp_path / "mine.py").write_text(f"import os\nos.execlp('bash', 'bash', {str(script)!r})")
    words_ = ("--runs", tmp_path, "--name", "s", "--backend", "local", "--sample-hz", "0", "--nodes", "1,2,4")
    done = launch(*words_, "--fom", "lammps", tmp_path / "mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "throughput [ns/day]" in done.stdout and "strong scaling" in done.stdout and "PREDICTION" in done.stdout
    report = (tmp_path / "s" / "report" / "report.md").read_text()
    assert "work [atoms]" in report and "examples" not in report and "step" not in report.partition("## Scaling")[2]
    page = (tmp_path / "s" / "report" / "index.html").read_text()
    assert "throughput [ns/day]" in page and "examples/s" not in page
    shown = [
        subprocess.run([sys.executable, "-m", "profiling", *words_], cwd=ROOT, env=environment(), capture_output=True, text=True)
        for words_ in (["predict", str(tmp_path / "s"), "--nodes", "8"], ["export", str(tmp_path / "s"), "--to", "csv"])
    ]  # fmt: skip
    assert all(each.returncode == 0 for each in shown), shown
    assert (
        "throughput [ns/day]" in shown[0].stdout and ",strong,4," in shown[1].stdout and ",ns/day," in shown[1].stdout
    )
    assert os.path.exists(tmp_path / "s" / "report" / "figures" / "throughput.svg")
