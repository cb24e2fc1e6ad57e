"""What TensorBoard is given: read back from its files, and asked of TensorBoard itself."""

import json
import random
import signal
import time
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import ranks
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from tensorboard.util import tensor_util

from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from workloads.training import checkpoints
from workloads.training.engines import horovod
from workloads.training.tensorboard import POINTS, WEIGHTS, Board, records

EPOCHS, STEPS = 4, 128  # of 1024 examples, 32 a step
OPTIONS = ("--network=noisy", "--batch=16", f"--epochs={EPOCHS}", "--deterministic")
RATE = "train/examples_per_s"


def made(folder: Path) -> RunDir:
    run = RunDir(folder)
    run.create()
    return run


def events(run: RunDir) -> list[Event]:
    return [Event.FromString(r) for path in sorted(run.tensorboard.iterdir()) for r in records(path)]


def points(run: RunDir) -> dict[tuple[str, int], np.ndarray]:
    """All that has a tag, by tag and step: scalars as numbers, histograms as buckets, texts and pictures as bytes."""
    found = [
        ((value.tag, event.step), tensor_util.make_ndarray(value.tensor) if value.HasField("tensor") else None)
        for event in events(run)
        for value in event.summary.value
    ]
    assert max(Counter(where for where, _ in found).values()) == 1, "a point stands twice"
    return dict(found)


def scalars(run: RunDir, tag: str) -> dict[int, float]:
    return {step: float(value) for (name, step), value in points(run).items() if name == tag}


@pytest.fixture(scope="module", params=ranks.SLOW_ON_JAX)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on two ranks, and another on one with another learning rate."""
    folder = tmp_path_factory.mktemp("study")
    two = ranks.train(2, made(folder / "two").path, *OPTIONS, engine=request.param)
    one = ranks.train(1, made(folder / "one").path, *OPTIONS, "--batch=32", "--lr=0.004", engine=request.param)
    assert two.wait() == [0, 0], two.output()
    assert one.wait() == [0], one.output()
    return folder


def test_scalars_are_those_of_the_records(study: Path):
    run = RunDir(study / "two")
    lines = {line["step"]: line for line in read_lines(run.steps / "node0.jsonl") if line["rank"] == 0}
    for tag, name in (("train/loss", "loss"), ("train/learning_rate", "learning_rate")):
        shown = scalars(run, tag)
        assert list(shown) == list(range(1, STEPS + 1))
        np.testing.assert_allclose(list(shown.values()), [lines[step][name] for step in shown], rtol=1e-6)
    rates = scalars(run, RATE)
    assert list(rates) == list(range(2, STEPS + 1)), "the step that was compiled first says nothing about speed"
    np.testing.assert_allclose(list(rates.values()), [32 / lines[step]["seconds"] for step in rates], rtol=1e-4)


def test_metrics_are_those_of_the_evaluations_and_of_the_result(study: Path):
    run = RunDir(study / "two")
    evaluated = run.events("evaluated")
    assert [event["step"] for event in evaluated] == [32, 64, 96, 128]
    for name in ("loss", "rms"):
        expected = {event["step"]: event["metrics"][name] for event in evaluated}
        assert scalars(run, f"validation/{name}") == pytest.approx(expected, rel=1e-6)
    for name, value in read_json(run.result_json)["metrics"].items():
        assert scalars(run, f"validation/{name}")[STEPS] == pytest.approx(value, rel=1e-6)


def test_histograms_are_of_all_weights_at_every_evaluation(study: Path):
    run = RunDir(study / "two")
    found = {tag for tag, _ in points(run) if tag.startswith(WEIGHTS)}
    assert len(found) == 2 + 4 + 2, "two dense layers and a normalisation"
    for tag in found:
        assert sorted(step for name, step in points(run) if name == tag) == [32, 64, 96, 128]
    kernel = next(value for value in checkpoints.latest(run.checkpoints).values if value.shape == (5, 8))
    buckets = points(run)[WEIGHTS + "sequential/dense/kernel", STEPS]
    assert buckets[:, 2].sum() == kernel.size
    assert (buckets[0, 0], buckets[-1, 1]) == pytest.approx((kernel.min(), kernel.max()), rel=1e-6)


def test_both_graphs_have_the_layers(study: Path):
    run = RunDir(study / "two")
    graphs = [GraphDef.FromString(event.graph_def) for event in events(run) if event.HasField("graph_def")]
    assert len(graphs) == 1
    nodes = {node.name: node for node in graphs[0].node}
    assert any("batch_normalization" in name for name in nodes)
    assert all(source.split(":")[0].lstrip("^") in nodes for node in nodes.values() for source in node.input)
    [text] = [value for (tag, _), value in points(run).items() if tag == "keras"]
    layers = keras_model_to_graph_def(json.loads(text.item())).node
    classes = [layer.attr["keras_class"].s.decode() for layer in layers]
    assert classes == ["InputLayer", "Dense", "BatchNormalization", "Dropout", "Dense"]


@pytest.mark.parametrize("study", ["horovod"], indirect=True)
def test_only_the_chief_writes_and_only_if_asked(study: Path, tmp_path: Path):
    assert len(list((study / "two" / "tensorboard").iterdir())) == 1
    run = made(tmp_path / "run")
    assert ranks.train(1, run.path, "--epochs=1", "--no-tensorboard").wait() == [0]
    assert not run.tensorboard.exists()


def test_tensorboard_shows_the_study(study: Path):
    """Started as a user does; asked what its pages ask."""
    pytest.importorskip("pkg_resources", reason="TensorBoard 2.18 does not start with setuptools 81 or newer")
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", str(study), "--port", "0", "--load_fast", "false"])
    url = board.launch().rstrip("/")

    def ask(path: str, question: dict | None = None):
        data = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 300  # it reads in a thread of its own
    everything = {"colParams": [], "startIndex": 0, "sliceSize": 10, "allowedStatuses": ["STATUS_SUCCESS"]}
    while True:
        groups = ask("/data/plugin/hparams/session_groups", everything).get("sessionGroups", [])
        if len(groups) == 2 or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert sorted(group["hparams"]["lr"] for group in groups) == [0.001, 0.004]
    assert sorted(group["hparams"]["ranks"] for group in groups) == [1, 2]
    for group in groups:
        assert group["name"] in ("one", "two")  # not a hash of the options
        assert group["hparams"] | {"seed": 7, "network": "noisy", "deterministic": True} == group["hparams"]
        values = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        [name] = [session["name"] for session in group["sessions"]]
        rms = read_json(study / name.split("/")[0] / "result.json")["metrics"]["rms"]
        assert values["validation/rms"] == pytest.approx(rms, rel=1e-6)
    shown = ask("/data/plugin/scalars/tags")
    assert set(shown) == {"one/tensorboard", "two/tensorboard"}
    assert set(shown["two/tensorboard"]) == {
        "train/loss", "train/learning_rate", RATE, "validation/loss", "validation/rms", "validation/parameters",
    }  # fmt: skip
    assert ask("/data/plugin/graphs/info")["two/tensorboard"]["tags"]["keras"]["conceptual_graph"]
    assert "two/tensorboard" in ask("/data/plugin/distributions/tags")


@pytest.mark.slow
@pytest.mark.parametrize("study", ["horovod"], indirect=True)
def test_kills_and_signals_lose_no_point_and_repeat_none(study: Path, tmp_path: Path):
    whole = points(RunDir(study / "two"))
    seed = random.randrange(2**32)
    print(f"moments drawn with seed {seed}")
    draw = random.Random(seed)
    run = made(tmp_path / "run")
    options = (*OPTIONS, "--checkpoint-every=0.05", "--pause=0.02")
    for attempt, (moment, how) in enumerate(zip(sorted(draw.sample(range(20, 100), 2)), ["kill", "signal"]), start=1):
        started = ranks.train(2, run.path, *options, attempt=attempt)
        while not any(int(path.stem[5:]) >= moment for path in run.checkpoints.glob("step-*.npz")):
            assert all(process.exitcode is None for process in started.processes), started.output()
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        if how == "kill":
            started.kill(0, 1)
            started.wait()
        else:
            started.send(1, signal.SIGTERM)
            assert started.wait() == [75, 75], started.output()
    assert ranks.train(2, run.path, *options, attempt=3).wait() == [0, 0]
    run.result_json.unlink()  # as if it had been ended just before it was done
    assert ranks.train(2, run.path, *options, attempt=4).wait() == [0, 0]
    mine = points(run)
    # The first step of an attempt is compiled, and without a rate.
    assert {where for where in whole if where[0] != RATE} == {where for where in mine if where[0] != RATE}
    for where, value in whole.items():
        if where[0].startswith(("train/loss", "train/learning_rate", "validation/", WEIGHTS)):
            np.testing.assert_array_equal(mine[where], value, err_msg=str(where))
    assert len(list(run.tensorboard.iterdir())) <= 2


def test_a_record_cut_short_and_a_kill_between_rename_and_removal(tmp_path: Path):
    board = Board(tmp_path / "run", 0, 10)
    for step in range(1, 11):
        board.trained(step, 1.0, 0.1, None)
    board.flush()
    [path] = (tmp_path / "run").iterdir()
    whole = path.read_bytes()
    path.with_name(f"{path.name}.copy").write_bytes(whole)
    path.write_bytes(whole[:-5])
    Board(tmp_path / "run", 7, 10)
    steps = Counter(
        (value.tag, event.step)
        for file in (tmp_path / "run").iterdir()
        for event in map(Event.FromString, records(file))
        for value in event.summary.value
    )
    assert steps == {(tag, step): 1 for tag in ("train/loss", "train/learning_rate") for step in range(1, 8)}


def test_a_long_run_has_no_more_points_than_are_shown(tmp_path: Path):
    run = RunDir(tmp_path)
    board = Board(run.tensorboard, 0, 4 * POINTS + 3)
    for step in range(1, 4 * POINTS + 4):
        board.trained(step, 1.0, 0.1, None)
    board.flush()
    assert 0.7 * POINTS < len(scalars(run, "train/loss")) <= POINTS


def test_pictures_are_shown_and_the_run_is_done(tmp_path: Path):
    figures = tmp_path / "figures"
    figures.mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8)
    (figures / "flows.png").write_bytes(tf.io.encode_png(picture).numpy())
    run = RunDir(tmp_path)
    Board(run.tensorboard, 0, 10).finish(10, {"error": 0.25}, figures)
    found = points(run)
    width, height, *images = found["flows", 10]
    assert (int(width), int(height), len(images)) == (7, 9, 1)
    np.testing.assert_array_equal(tf.io.decode_png(images[0]).numpy(), picture)
    assert found["validation/error", 10] == 0.25
    assert (metadata.SESSION_END_INFO_TAG, 10) in found


def test_a_trial_has_the_name_of_its_run_so_that_repeats_are_apart(tmp_path: Path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.json").write_text("{}")
    names = []
    for name in ("s/n1-lr0.1-r1", "s/n1-lr0.1-r2", "alone"):
        run = made(tmp_path / name)
        workload = SimpleNamespace(model=keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), validation=SimpleNamespace(load=lambda _: (np.zeros((1, 2), np.float32), None)))  # fmt: skip
        board = Board(run.tensorboard, 0, 10)
        board.begin(workload, horovod.graph, {"lr": 0.1})
        [start] = [
            plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
            for event in events(run)
            for value in event.summary.value
            if value.tag == metadata.SESSION_START_INFO_TAG
        ]
        names.append(start.group_name)
    assert names == ["s/n1-lr0.1-r1", "s/n1-lr0.1-r2", "alone"]
