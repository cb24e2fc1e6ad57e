"""Sweeps of any program: the words that each point receives are those that were written, and stand where they were asked for."""

import itertools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launched import launch
from plans import CLUSTER, EIGHT_CORES, NOON

from launch.cli.definition import definition
from launch.errors import Refusal
from launch.plan import sweep
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.target import workload
from launch.plan.target.workload import Target
from launch.record.files import read_json
from launch.submit import order
from launch.submit.study import planning
from launch.submit.workflow import workflow

PROGRAM = "/home/u/program.py"


def plans(sweeps: list[str], arguments: list[str], target: Target | None = None, **asked) -> list[Plan]:
    """The plan of each point of a study of a program."""
    request = Request(**asked)
    found = planning.points(sweep.from_words(sweeps, request.nodes), request.repeats)
    target = target or Target("script", PROGRAM, tuple(arguments))
    return planning.plans(request, target, found, CLUSTER, EIGHT_CORES, NOON)


def received(sweeps: list[str], arguments: list[str], **asked) -> list[list[str]]:
    """The words behind the program's name, of each point."""
    return [list(plan.entry[1:]) for plan in plans(sweeps, arguments, **asked)]


LR = ["lr=1e-3,0.1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--lr=1e-3"]),
        (["fit", "--epochs", "3"], ["fit", "--epochs", "3", "--lr=1e-3"]),
        (["--", "a.csv"], ["--lr=1e-3", "--", "a.csv"]),
        (["a", "--", "b", "--", "c"], ["a", "--lr=1e-3", "--", "b", "--", "c"]),
        (["optimizer.lr={lr}", "--", "{lr}"], ["optimizer.lr=1e-3", "--", "1e-3"]),
        (["{lr}x{lr}", "-l{lr}"], ["1e-3x1e-3", "-l1e-3"]),
        (['{"a": {"lr":{lr}}}', "{}", "{x}"], ['{"a": {"lr":1e-3}}', "{}", "{x}"]),
        (["{{lr}}"], ["{lr}", "--lr=1e-3"]),
        (["{{{lr}}}", "{{{{lr}}}}"], ["{1e-3}", "{{lr}}"]),
        (["${lr}", "$ {lr}", "${{lr}}", "{lr}${lr}"], ["${lr}", "$ 1e-3", "${{lr}}", "1e-3${lr}"]),
        (["{lr:.2f}", "{ lr }", "{LR}", "{lr"], ["{lr:.2f}", "{ lr }", "{LR}", "{lr", "--lr=1e-3"]),
    ],
)
def test_where_a_value_stands(arguments: list[str], words: list[str]):
    first, second = received(LR, arguments)
    assert first == words
    assert second == [word.replace("1e-3", "0.1") for word in words]


def test_a_value_with_a_name_in_braces_is_a_value():
    assert received(["a={b},{c}", "b=1"], ["{a}", "{b}"]) == [["{b}", "1"], ["{c}", "1"]]


def test_names_and_values_are_those_that_were_written():
    words = received(["batch_size=8", "amp=true,false", "model.Layers=[64,64]", 'cfg={"a":[1,"x, y"]}'], [])
    rest = ["--model.Layers=[64,64]", '--cfg={"a":[1,"x, y"]}']
    assert words == [["--batch_size=8", f"--amp={amp}", *rest] for amp in ("true", "false")]


def test_a_program_gets_the_seed_that_is_swept_over_and_no_other():
    made = plans(["seed=3,007"], ["x"])
    assert [(plan.seed, plan.entry[1:]) for plan in made] == [(3, ("x", "--seed=3")), (7, ("x", "--seed=007"))]
    assert received(["seed=3"], ["-s{seed}"]) == [["-s3"]]
    assert received(["x=1"], [], seed=5) == [["--x=1"]]


def test_nodes_ranks_and_repeat_have_places_where_they_vary():
    words = ["{nodes}", "{ranks}", "{repeat}", "{x}"]
    assert received(["x=7"], words) == [[*words[:3], "7"]]
    found = received(["x=7"], words, nodes=(1, 4), repeats=2, ranks_per_node=2)
    assert found == [["1", "2", "1", "7"], ["4", "8", "1", "7"], ["1", "2", "2", "7"], ["4", "8", "2", "7"]]


def test_a_workload_reads_its_options_itself():
    tiny = workload.find("tiny", [])
    made = plans(["xla=true,false", "evaluate_every=3", "seed=5"], [], tiny)
    assert [("--xla" in plan.entry, "--evaluate-every=3.0" in plan.entry, plan.seed) for plan in made] == [
        (True, True, 5),
        (False, True, 5),
    ]
    with pytest.raises(Refusal, match="unknown option --widht of tiny: did you mean '--width'?"):
        plans(["widht=3"], [], tiny)
    with pytest.raises(Refusal, match=r"option --width: '\[1,2\]' is not a whole number"):
        plans(["width=[1,2],3"], [], tiny)
    with pytest.raises(Refusal, match="option --xla takes no value, and 'maybe' is given"):
        plans(["xla=maybe"], [], tiny)


# Axes and words are made of pieces, each of which knows how it is written and what is to become of it.

NAMES = ["lr", "batch_size", "model.lr", "Größe", "x-y"]
plain = st.text(st.characters(exclude_characters="\0,'\"\\()[]{}", exclude_categories=("Cs",)), min_size=1, max_size=6)
quoted = st.builds("{1}{0},{0}{1}".format, plain, st.sampled_from("'\""))
closed = st.recursive(
    plain | plain.map(json.dumps) | quoted.map("={}".format),
    lambda inner: st.builds(
        lambda pair, parts: pair[0] + ",".join(parts) + pair[1],
        st.sampled_from(["()", "[]", "{}"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)
values = st.lists(closed, min_size=1, max_size=3).map("".join).filter(lambda text: text == text.strip(" \t"))
axes = st.dictionaries(st.sampled_from(NAMES), st.lists(values, min_size=1, max_size=3, unique=True), min_size=1)


@dataclass(frozen=True)
class Piece:
    """Of a word: a text, or a name in so many pairs of braces."""

    text: str
    pairs: int = 0

    def written(self) -> str:
        return "{" * self.pairs + self.text + "}" * self.pairs

    def received(self, point: dict[str, str]) -> str:
        if not self.pairs or self.text not in point:
            return self.written()
        half = self.pairs // 2
        return "{" * half + (point[self.text] if self.pairs % 2 else self.text) + "}" * half


OTHERS = [' {"a": 1} ', " {} ", " ${HOME} ", " {lr:.2f} ", " { lr } ", " [{] ", " {epoch} "]
text = st.text(st.characters(exclude_characters="\0{}"), max_size=5).filter(lambda text: text != "--")
words = st.lists(
    st.lists(
        st.builds(Piece, text | st.sampled_from(OTHERS)) | st.builds(Piece, st.sampled_from(NAMES), st.integers(1, 4)),
        max_size=4,
    )
    | st.just([Piece("--")]),
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(axes, words)
def test_each_point_receives_the_words_that_were_written(axes: dict[str, list[str]], words: list[list[Piece]]):
    sweeps = [f"{name}={','.join(values)}" for name, values in axes.items()]
    written = ["".join(piece.written() for piece in word) for word in words]
    points = [dict(zip(axes, row)) for row in itertools.product(*axes.values())]
    placed = {piece.text for word in words for piece in word if piece.pairs % 2}
    for point, got in zip(points, received(sweeps, written), strict=True):
        expected = ["".join(piece.received(point) for piece in word) for word in words]
        place = written.index("--") if "--" in written else len(written)
        expected[place:place] = [f"--{name}={value}" for name, value in point.items() if name not in placed]
        assert got == expected


anything = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=300)


@settings(deadline=None, max_examples=100)
@given(st.lists(anything, min_size=1, max_size=4, unique=True), st.integers(1, 64))
def test_a_name_is_that_of_a_folder_and_tells_points_apart(texts: list[str], nodes: int):
    found = planning.points(
        sweep.Axes(steps=({"nodes": (str(nodes),)}, {"x": tuple(texts)}, {"token": tuple(texts)})), 2
    )
    names = {point.name for point in found}
    assert len(names) == len(found) == 2 * len(texts) ** 2
    assert all(re.fullmatch(r"n[0-9]+-[A-Za-z0-9._+-]{1,200}-r[12]", name) for name in names)


def test_neither_the_name_of_a_run_nor_the_plan_has_a_secret(tmp_path: Path):
    secret = "ghp_" + "a1B2" * 10
    sweeps = [f"x={secret},1", "db_password=hunter2"]
    assert [plan.name for plan in plans(sweeps, [])] == [
        "n1-x_secret-db_password_secret-r1",
        "n1-x1-db_password_secret-r1",
    ]
    (tmp_path / "program.py").write_text("")
    done = launch("--dry-run", *(f"--sweep={each}" for each in sweeps), tmp_path / "program.py")
    assert done.returncode == 0 and "program.py '--x=<redacted>' '--db_password=<redacted>'" in done.stdout
    assert secret not in done.stdout and "hunter2" not in done.stdout


def orders(folder: Path, text: str, *words: str, **options: object) -> list[order.Order]:
    file = folder / "it.toml"
    file.write_text(text)
    return definition.read(str(file), options, words, NOON)[1]


def of_file(folder: Path, text: str, *words: str, **options: object) -> list[list[str]]:
    """The words behind the program's name, of each point of a definition."""
    program = folder / "program.py"
    program.write_text("")
    (one,) = orders(folder, f"workload = {json.dumps(str(program))}\n{text}", *words, **options)
    return [list(plan.entry[1:]) for plan in order.plan(one, CLUSTER, EIGHT_CORES, NOON).plans]


def test_a_definition_says_names_and_values_as_they_are_written(tmp_path: Path):
    words = of_file(
        tmp_path,
        """
        arguments = ["fit", "-n", "{n}", "--", "a.csv"]
        exclude = [{ lr = 0.001, n = 2 }, { layers = [[128, 128]], n = 1 }]
        [options]
        batch_size = 8
        amp = true
        [axes]
        lr = [1e-3, "1E-3"]
        n = "1..2"
        layers = [[64, 64], [128, 128]]
        [[zip]]
        net = [{ kind = "a b", "größe" = [1.5, true] }, "none, at all"]
        suffix = ["", "_x"]
        """,
        "--own=1",
    )
    fixed = ["--batch_size=8", "--amp=true", "--own=1"]
    nets = [['--net={"kind":"a b","größe":[1.5,true]}', "--suffix="], ["--net=none, at all", "--suffix=_x"]]
    assert words == [
        ["fit", "-n", n, *fixed, f"--lr={lr}", f"--layers={layers}", *net, "--", "a.csv"]
        for lr, n, layers in itertools.product(["1e-3", "1E-3"], "12", ["[64,64]", "[128,128]"])
        for net in nets
        if not (lr == "1e-3" and n == "2" or layers == "[128,128]" and n == "1")
    ]


def test_the_command_line_replaces_an_axis_of_the_file_in_either_spelling(tmp_path: Path):
    assert of_file(tmp_path, "[axes]\nbatch_size = [1, 2]", sweep=("batch-size=3",)) == [["--batch-size=3"]]


@settings(deadline=None, max_examples=50)
@given(st.lists(anything, min_size=1, max_size=3, unique=True), st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_any_number_of_a_definition_arrives(tmp_path_factory, texts: list[str], number: float):
    listed = json.dumps(texts, ensure_ascii=False).replace("\x7f", "\\u007f")
    found = of_file(tmp_path_factory.mktemp("it"), f"[axes]\nx = {listed}\ny = [{number!r}]")
    assert found == [[f"--x={value}", f"--y={number!r}"] for value in texts]


STAGES = """
[[stage]]
name = "data"
workload = "workloads.cfd_resnet.data"
[[stage]]
name = "train"
after = ["data"]
workload = "PROGRAM"
arguments = ["{data}/x", "{epoch}", '{"data": 1}', "lr={lr}", "{{data}}"]
axes.lr = [1]
"""


def test_braces_in_a_stage_are_a_folder_an_axis_or_the_programs_own(tmp_path: Path):
    def arguments(text: str) -> list[str]:
        found = orders(tmp_path, text.replace("PROGRAM", str(program)))
        planned = workflow.plan(Request(runs=tmp_path, name="w"), found, CLUSTER, EIGHT_CORES, NOON)
        return list(planned.stages[1].plans[0].entry[1:])

    (program := tmp_path / "program.py").write_text("")
    assert arguments(STAGES) == [f"{tmp_path}/w/data/x", "{epoch}", '{"data": 1}', "lr=1", "{data}"]
    for wrong in ("{dta}", "{train}"):
        with pytest.raises(Refusal, match=f"stage train is given {re.escape(wrong)}, which is not a stage before it"):
            arguments(STAGES.replace("{epoch}", wrong))


def test_a_real_program_gets_these_words(tmp_path: Path):
    """Bytes that are no text among them; status shows the values that the names of the runs do not."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys\n"
        "file = open(os.environ['LAUNCH_RUN'] + '/words.json', 'w')\n"
        "json.dump([*sys.argv[1:], os.environ['LAUNCH_SEED']], file)\n"
    )
    values = ["a/b", os.fsdecode(b"[1, {'\xff': ' '}]")]
    words = [f"--array=p={','.join(values)}", "--sweep=seed=4,5", program, "{p}", "{q}", "--", "x\ny"]
    done = launch("--backend=local", "--sample-hz=0", "--runs", tmp_path, "--name=s", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = read_json(tmp_path / "s" / "study.json")["runs"]
    assert [each["values"] for each in runs] == [{"p": p, "seed": seed} for p in values for seed in "45"]
    for each in runs:
        p, seed = each["values"].values()
        received = read_json(tmp_path / "s" / each["run"] / "words.json")
        assert received == [p, "{q}", f"--seed={seed}", "--", "x\ny", seed]
    shown = launch("status", tmp_path / "s")
    assert shown.stdout.count("p=a/b") == 2 and shown.stdout.count(r"p=[1, {'\udcff': ' '}]") == 2
    known = json.loads(launch("status", "--json", tmp_path / "s").stdout)
    assert sorted(map(str, (one["values"] for one in known))) == sorted(str(each["values"]) for each in runs)
