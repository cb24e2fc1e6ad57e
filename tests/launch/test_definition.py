"""Definitions in TOML: that they mean what the same words on the command line mean, and what is refused in them."""

import datetime
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import ROOT, environment, facts, launch
from plans import CLUSTER, EIGHT_CORES, NOON

from launch.cli.definition import definition
from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.sweep import Axes
from launch.submit import order
from launch.submit.order import Order
from launch.submit.workflow import stages

JOBS = sorted((ROOT / "jobs").glob("*.toml"))


def read(folder: Path, text: str, *words: str, **given_options: object) -> list[Order]:
    """The orders of a definition, with options of the job from the command line and words behind it."""
    file = folder / "it.toml"
    file.write_text(text)
    return definition.read(str(file), given_options, words, NOON)[1]


def runs(one: Order) -> list[tuple[str, int, tuple[str, ...]]]:
    """Name, seed and entry of each run."""
    planned = order.plan(one, CLUSTER, EIGHT_CORES, NOON)
    return [(plan.name, plan.seed, plan.entry) for plan in planned.plans]


SWEEP = """
workload = "tiny"
exclude = [{ width = 4, lr = 1e-2 }, { nodes = 2, seed = [1, 2] }]
[job]
nodes = [1, 2]
repeats = 2
time = 01:00:00
[options]
epochs = 3
xla = true
[axes]
lr = [1e-3, 1e-2]
seed = "0..2"
[[zip]]
width = [4, 8]
network = ["dense", "noisy"]
"""


def test_a_file_says_what_the_command_line_says(tmp_path: Path):
    (one,) = read(
        tmp_path,
        """
        workload = "tiny"
        [job]
        nodes = [1, 2]
        ranks-per-node = 2
        repeats = 2
        time = 30
        sbatch_arg = ["--exclusive", "--comment=a b"]
        [options]
        epochs = 3.5
        xla = true
        network = "noisy"
        [axes]
        lr = [0.001, "1e-2"]
        """,
    )
    assert (one.asked.nodes, one.asked.ranks_per_node, one.asked.repeats, one.asked.time) == ((1, 2), 2, 2, "30")
    assert one.asked.sbatch_arg == ("--exclusive", "--comment=a b")
    assert one.asked.name == "it-20260301-120000"
    config = one.target.config
    assert (config.epochs, config.xla, config.network) == (3.5, True, "noisy")
    assert one.axes.combinations()[1] == {"nodes": "1", "lr": "1e-2"}


def test_axes_filters_and_axes_in_step(tmp_path: Path):
    found = runs(read(tmp_path, SWEEP)[0])
    # 2 nodes x 2 rates x 3 seeds x 2 widths; of these 6 have width 4 and rate .01, and 8 two nodes and seed 1 or 2,
    # of which 2 are the same.
    assert len(found) == 2 * (24 - 6 - 8 + 2)
    for name, seed, entry in found:
        assert ("--network=noisy" in entry) != ("--width=4" in entry)  # dense and 8 are the defaults
        assert not ("--width=4" in entry and "--lr=0.01" in entry)
        assert not (name.startswith("n2") and seed)
        assert "--epochs=3.0" in entry and "--xla" in entry


def test_the_command_line_goes_before_the_file(tmp_path: Path):
    (one,) = read(tmp_path, SWEEP, "--epochs", "5", "--no-xla", nodes=(2,), sweep=("seed=0,1,2",), name="mine")
    assert one.asked.name == "mine" and {name[:2] for name, *_ in runs(one)} == {"n2"}
    assert (one.target.config.epochs, one.target.config.xla) == (5, False)
    with pytest.raises(Refusal, match="exclude names seed=1, which is none of its values"):
        read(tmp_path, SWEEP, sweep=("seed=7",))


def test_true_and_false_are_values_of_an_axis(tmp_path: Path):
    (one,) = read(tmp_path, 'workload = "tiny"\n[axes]\nxla = [true, false]\nnodes = [1, 2]')
    entries = [entry for *_, entry in runs(one)]
    assert ["--xla" in entry for entry in entries] == [True, False, True, False]


def test_nodes_may_vary_in_step_with_options(tmp_path: Path):
    (one,) = read(tmp_path, 'workload = "tiny"\n[[zip]]\nbatch = [64, 32]\nnodes = [1, 2]')
    assert [name for name, *_ in runs(one)] == ["n1-batch64-r1", "n2-batch32-r1"]


values = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True).map(tuple)


@settings(deadline=None)
@given(values, values, st.data())
def test_filters_keep_what_they_say(first: tuple[str, ...], second: tuple[str, ...], data: st.DataObject):
    def condition():
        return st.fixed_dictionaries(
            {},
            optional={
                "x": st.lists(st.sampled_from(first), min_size=1).map(tuple),
                "y": st.lists(st.sampled_from(second), min_size=1).map(tuple),
            },
        )

    only, exclude = (tuple(data.draw(st.lists(condition(), max_size=2))) for _ in range(2))

    def wanted(x: str, y: str) -> bool:
        def fits(one: dict) -> bool:
            return x in one.get("x", first) and y in one.get("y", second)

        return (not only or any(map(fits, only))) and not any(map(fits, exclude))

    expected = [pair for pair in itertools.product(first, second) if wanted(*pair)]
    steps = ({"nodes": ("1",)}, {"x": first}, {"y": second})
    if not expected:
        with pytest.raises(Refusal, match="the filters leave nothing"):
            Axes(steps=steps, only=only, exclude=exclude)
        return
    found = Axes(steps=steps, only=only, exclude=exclude).combinations()
    assert [(one["x"], one["y"]) for one in found] == expected


@settings(deadline=None)
@given(st.permutations(list("abcdef")), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_links_stand_behind_those_they_come_after(names: list[str], pairs: set[tuple[int, int]]):
    after = {name: [names[a] for a, b in pairs if a < b and names[b] == name] for name in names}
    found = stages.in_order(dict(sorted(after.items())))
    assert sorted(found) == sorted(names)
    for name in names:
        assert all(found.index(before) < found.index(name) for before in stages.all_before(after, name))


CHAIN = """
[job]
nodes = [1, 2]
[[stage]]
name = "report"
after = ["train"]
workload = "profiling"
arguments = ["report", "{train}"]
job = { nodes = 1 }
[[stage]]
name = "data"
workload = "workloads.cfd_resnet.data"
job.repeats = 3
job.nodes = 1
[[stage]]
name = "train"
after = ["data"]
workload = "tiny"
"""
RUN = 'workload = "tiny"\n'
REFUSED = {
    "no TOML": ("workload =", "it.toml cannot be read as TOML (Invalid value"),
    "nothing to run": ("[job]\nnodes = 2", "write workload = 'workloads.cfd_resnet'"),
    "unknown workload": ('workload = "workloads.cfd_resnte"', "did you mean 'workloads.cfd_resnet'?"),
    "unknown key": (RUN + "[option]\nlr = 1", "option is not a key that this table can have: did you mean 'options'?"),
    "unknown option of the job": (RUN + "[job]\nnode = 2", "[job] has node, which is not an option of the job: did you mean 'nodes'?"),
    "value of the job": (RUN + '[job]\nnodes = "two"', "option --nodes: 'two' is not a whole number"),
    "true for a number": (RUN + "[job]\nnodes = true", "[job] nodes = True: give a value, or a list of values"),
    "a number for true": (RUN + "[job]\ndetach = 1", "[job] detach = 1: give true or false"),
    "a text for true": (RUN + '[job]\ndry-run = "yes"', "[job] dry-run = 'yes': give true or false"),
    "a list for a value": (RUN + "[job]\ntime = [1, 2]", "[job] time = [1, 2]: give one value"),
    "no whole number": (RUN + "[job]\nnodes = 1.0", "--nodes: '1.0' is not a whole number"),
    "not a number": (RUN + "[job]\nbudget = nan", "--budget: 'nan' is not a number"),
    "beyond the bounds": (RUN + "[axes]\nseed = [0, -1]", "the axis seed: '-1' is not a whole number of 0 or more"),
    "beyond 64 bits": (RUN + f"[job]\nseed = 0x{'f' * 5000}", "seed = a number of too many digits is not a value"),
    "a null byte": (RUN + '[job]\naccount = "a\\u0000"', "is not a value"),
    "true for a number of the workload": (RUN + "[options]\nwidth = true", "[options] width = True: give one value"),
    "too deep": ("x = " + "[" * 100_000, "cannot be read as TOML"),
    "too many runs": (RUN + "[axes]\nseed = '0..99999999999'", "a study of 100,000,000,000 runs is too large"),
    "array in the job": (RUN + '[job]\narray = ["lr=1"]', "write the axes into [axes]"),
    "unknown option of the workload": (RUN + "[options]\nwidht = 2", "unknown option --widht of tiny: did you mean '--width'?"),
    "value of the workload": (RUN + '[options]\nwidth = "x"', "option --width: 'x' is not a whole number"),
    "a table for a value": (RUN + "[options.width]\na = 1", "[options] width = {'a': 1}: give one value"),
    "no table": (RUN + "options = 3", "options = 3 is not a table: write [options]"),
    "axis without values": (RUN + "[axes]\nlr = []", "the axis lr = [] is not a list of values"),
    "axis of one number": (RUN + "[axes]\nlr = 1", "the axis lr = 1 is not a list of values"),
    "no number of JSON": (RUN + "[axes]\nlr = [[1, inf]]", "lr = [1, inf] is not a value"),
    "an open bracket": (RUN + "[axes]\nlr = '[1,2'", "--sweep lr='[1,2': [ is not closed"),
    "value of several lines twice": (RUN + "[axes]\nlr = ['a\\nb', 'a\\nb']".replace("'", '"'), "a value is given twice in lr='a\\nb,a\\nb'"),
    "value twice": (RUN + "[axes]\nlr = [1, 1]", "a value is given twice in lr=1,1"),
    "unequal lengths": (RUN + "[[zip]]\nlr = [1, 2]\nwidth = [1]", "but lr has 2 and width has 1: make them equal"),
    "zip once": (RUN + "[zip]\nlr = [1, 2]", "zip is not a list of tables: write [[zip]]"),
    "axis twice": (RUN + "[axes]\nlr = [1]\n[[zip]]\nlr = [2]", "the axis lr is given twice"),
    "filter of no axis": (RUN + "exclude = [{widht = 1}]\n[axes]\nwidth = [1]", "exclude names widht, which is not an axis here: did you mean 'width'?"),
    "filter of no value": (RUN + "only = [{lr = 3}]\n[axes]\nlr = [1, 2]", "only names lr=3, which is none of its values (1, 2)"),
    "nothing left": (RUN + "exclude = [{lr = 1}]\n[axes]\nlr = [1]", "the filters leave nothing of the study"),
    "filter is no list": (RUN + "only = {lr = 1}\n[axes]\nlr = [1]", "only is not a list of tables"),
    "nodes twice": (RUN + "[job]\nnodes = 2\n[axes]\nnodes = [1]", "the nodes are given twice"),
    "no name": ('[[stage]]\nworkload = "tiny"', "a stage has no name"),
    "no stage": ("stage = []", "it has no stage"),
    "bad name": ('[[stage]]\nname = "../x"\nworkload = "tiny"', "--name '../x'"),
    "same name": ('[[stage]]\nname = "a"\nworkload = "tiny"\n' * 2, "two stages have the name a"),
    "unknown stage": (CHAIN.replace('["train"]', '["trian"]'), "stage report comes after 'trian', which is not a stage: did you mean 'train'?"),
    "cycle": (CHAIN.replace('name = "data"', 'name = "data"\nafter = ["report"]'), "stages wait for each other: "),
    "after no list": (CHAIN.replace('["train"]', '"train"'), "after = 'train' is not a list of words"),
    "workload of a workflow": (RUN + CHAIN, "workload is not a key that this table can have"),
    "in a stage": (CHAIN + "[stage.options]\nwidht = 1", "stage train: unknown option --widht of tiny"),
    "shared by all stages": (CHAIN + '[stage.job]\nsite = "laptop"', "stage train has a site of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(tmp_path: Path, name: str):
    text, says = REFUSED[name]
    with pytest.raises(Refusal) as refused:
        read(tmp_path, text)
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "it.toml"))


def test_what_the_command_line_cannot_say_of_a_chain(tmp_path: Path):
    for words, options, says in (
        (["--width", "3"], {}, "'--width' belongs to one stage"),
        ([], {"sweep": ("lr=1",)}, "--sweep belongs to one stage"),
    ):
        with pytest.raises(Refusal, match=says):
            read(tmp_path, CHAIN, *words, **options)
    every = CHAIN.replace('workload = "tiny"', 'workload = "tiny"\njob.nodes = 2')
    with pytest.raises(Refusal, match="--nodes would change nothing, as each stage sets it itself"):
        read(tmp_path, every, nodes=(4,))
    by_name = {one.stage: one for one in read(tmp_path, CHAIN, nodes=(4,), account="me")}
    assert by_name["train"].asked.nodes == (4,) and by_name["report"].asked.nodes == (1,)
    assert {one.asked.account for one in by_name.values()} == {"me"}


def test_a_missing_file_offers_the_nearest(tmp_path: Path):
    for word, offered in (
        ("jobs/cfd_resnet_swep.toml", "did you mean 'jobs/cfd_resnet_sweep.toml'?"),
        ("cfd_resnet_sweep.toml", "did you mean 'jobs/cfd_resnet_sweep.toml'?"),
        (str(tmp_path / "x.toml"), "jobs/cfd_resnet_workflow.toml, "),
    ):
        refused = launch("--dry-run", word)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1
        assert refused.stderr.startswith(f"launch: there is no definition '{word}': ") and offered in refused.stderr


def test_help_of_a_definition_shows_the_options_of_its_workloads():
    shown = launch("jobs/cfd_resnet_workflow.toml", "--help").stdout
    assert "--conserve" in shown and "--ranks-per-node" in shown


@pytest.mark.parametrize("backend", ["local", "slurm"])
@pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)
def test_every_definition_that_comes_with_the_toolkit_can_be_planned(tmp_path: Path, file: Path, backend: str):
    dry = launch("--dry-run", "--backend", backend, "--runs", tmp_path / "runs", file)
    assert dry.returncode == 0, dry.stderr
    assert not (tmp_path / "runs").exists()
    studies = ("sweep", "weak", "strong", "data", "curve", "batch", "search")
    kind = dict.fromkeys(studies, "study") | dict.fromkeys(("workflow", "report"), "workflow")
    assert kind.get(file.stem.rpartition("_")[2], "shape") in facts(dry.stdout)
    if backend == "slurm":
        assert dry.stdout.count("#!/bin/bash") == dry.stdout.count("\nsrun --nodes=") > 0


def test_a_dry_run_shows_what_waits_for_what(tmp_path: Path):
    file = tmp_path / "workflow.toml"
    file.write_text(CHAIN)
    dry = launch("--dry-run", "--backend=slurm", "--runs", tmp_path / "runs", "--name=c", file)
    assert dry.returncode == 0, dry.stderr
    data, train, report = dry.stdout.partition("#!/bin/bash")[2].split("\nstage ")
    assert "#SBATCH --array=0-2" in data and "--dependency" not in data
    assert (
        train.count("'--dependency=afterok:<job of data>' --kill-on-invalid-dep=yes") == 4
    )  # two arrays, each with its command above and in the script
    assert "'--dependency=afterok:<job of train>' --kill-on-invalid-dep=yes" in report
    assert "#SBATCH --job-name=c-train" in train


def test_a_word_may_name_the_folder_of_a_link_before_it(tmp_path: Path):
    from launch.submit.workflow import workflow

    asked = Request(runs=tmp_path, name="c")
    planned = workflow.plan(asked, read(tmp_path, CHAIN), CLUSTER, EIGHT_CORES, datetime.datetime.now())
    assert planned.stages[-1].plans[0].entry == ("-m", "profiling", "report", str(tmp_path / "c" / "train"))
    for wrong, says in (
        ("{trian}", "did you mean 'train'?"),
        ("{report}", "stage report is given {report}, which is not"),
    ):
        with pytest.raises(Refusal, match=says.replace("{", r"\{").replace("?", r"\?")):
            orders = read(tmp_path, CHAIN.replace("{train}", wrong))
            workflow.plan(asked, orders, CLUSTER, EIGHT_CORES, datetime.datetime.now())


def test_without_a_definition_nothing_of_it_is_loaded():
    code = """if True:
        import os, runpy, sys
        os._exit = sys.exit  # for what follows to be reached
        sys.argv = ["launch", "--dry-run", "--nodes=2", "tiny"]
        try:
            runpy.run_module("launch", run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            assert not ended.code, ended.code
        print("LOADED", sorted({"launch.cli.definition.definition", "launch.submit.workflow.workflow", "launch.submit.workflow.stages"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_what_is_an_axis_is_not_told_twice(tmp_path: Path):
    file = tmp_path / "it.toml"
    file.write_text(SWEEP.replace("lr = [1e-3, 1e-2]", "lr = [1e-3]").replace('"tiny"', '"workloads.cfd_resnet"')
                    .replace('"dense", "noisy"', '"gated", "residual"').replace("{ width = 4, lr = 1e-2 }, ", ""))  # fmt: skip
    dry = launch("--dry-run", "--backend=local", file)
    assert dry.returncode == 0, dry.stderr
    (head,) = [line for line in dry.stdout.splitlines() if line.startswith("nodes  ranks")]
    assert (
        head.split()[:7] == ["nodes", "ranks", "GPUs", "lr", "seed", "width", "network"] and head.count("network") == 1
    )
