"""The simulator of a step: its formulas, what must hold of any step, and the verb on descriptions, runs and studies."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from profiling.__main__ import main
from profiling.cli import simulate
from profiling.simulation import allreduce, description, jitter, simulator, step_model
from profiling.simulation.allreduce import ALGORITHMS, FLAT, Cluster, Link, Links
from profiling.simulation.jitter import Jitter
from profiling.simulation.step_model import Transport
from profiling.traces.parts import PARTS, Operation, Step
from profiling.traces.store import RankTrace, write
from tests.profiling import studies

LINK = Link(2e-6, 1e10)
PUBLISHED = sorted(path.stem for path in description.PUBLISHED.glob("*.toml"))


def machine(nodes, per_node=1, speed=1e10, latency=2e-6):
    return Cluster(nodes, per_node, (Links(Link(latency, speed), Link(latency / 4, 4 * speed)),))


def model(sizes=(4e6, 1e6, 8e6), transport=None, spread=None, seconds=0.1):
    sizes = np.array(sizes, float)
    return step_model.model(
        "net",
        8,
        sizes,
        seconds,
        1 / 3,
        np.ones(len(sizes)),
        transport=transport or Transport(),
        jitter=spread or Jitter(),
        update=0.01,
    )


@pytest.mark.parametrize(
    ("name", "ranks", "expected"),
    [  # by hand, of 8e6 bytes at 1e10 bytes/s, which is 800 us, and 2 us a message
        ("ring", 8, 14 * 2 + 14 / 8 * 800),
        ("tree", 8, 6 * 2 + 2 * 800),
        ("recursive-doubling", 8, 3 * (2 + 800)),
        ("halving-doubling", 8, 6 * 2 + 2 * 7 / 8 * 800),
        ("ring", 6, 10 * 2 + 10 / 6 * 800),
        ("tree", 6, 6 * 2 + 2 * 800),
        ("recursive-doubling", 6, 4 * (2 + 800)),
        ("halving-doubling", 6, (3 + 2 * 2) * 2 + 4 * 800 - 2 * 800 / 4),
        ("halving-doubling", 100, (3 + 2 * 6) * 2 + 4 * 800 - 2 * 800 / 64),
    ],
)
def test_costs_are_those_of_the_formulas(name, ranks, expected):
    assert FLAT[name](8e6, ranks, LINK) * 1e6 == pytest.approx(expected)
    assert FLAT[name](8e6, 1, LINK) == 0


def _exchanged(ranks):
    """Seconds until all ranks have the sum of all by recursive doubling, message by message, and what each rank has."""
    message = LINK.latency_s + 8e6 / LINK.bytes_per_s
    have, free = [{rank} for rank in range(ranks)], [0.0] * ranks
    pairs = 2 ** (ranks.bit_length() - 1)
    extra = [(rank, rank - pairs) for rank in range(pairs, ranks)]
    rounds = [[(rank, rank ^ 2**level) for rank in range(pairs)] for level in range(pairs.bit_length() - 1)]
    for messages in [extra, *rounds, [(target, source) for source, target in extra]]:
        known, begun = [set(each) for each in have], list(free)
        for source, target in messages:
            have[target] |= known[source]
            free[target] = max(free[target], begun[source] + message, begun[target] + message)
    return max(free), have


@pytest.mark.parametrize("ranks", [2, 3, 5, 8, 12, 27])
def test_recursive_doubling_takes_as_long_as_its_messages(ranks):
    seconds, have = _exchanged(ranks)
    assert have == [set(range(ranks))] * ranks
    assert allreduce.recursive_doubling(8e6, ranks, LINK) == pytest.approx(seconds)
    agreed = allreduce.negotiation(machine(ranks)) / 2 / LINK.latency_s
    assert agreed == pytest.approx(seconds / (LINK.latency_s + 8e6 / LINK.bytes_per_s))


def _halved(ranks):
    """As `_exchanged`, by halving and doubling: what each rank has is the set of those summed up, for each part."""
    pairs = 2 ** (ranks.bit_length() - 1)
    have = [[{rank} for _ in range(pairs)] for rank in range(ranks)]
    free = [0.0] * ranks
    left = 2 * (ranks - pairs)  # of the first ranks every second one takes no part in the rounds
    taking = [*range(0, left, 2), *range(left, ranks)]

    def send(messages):
        known, begun = [[set(part) for part in each] for each in have], list(free)
        for source, target, parts in messages:
            lasts = LINK.latency_s + len(parts) / pairs * 8e6 / LINK.bytes_per_s
            for part in parts:
                have[target][part] |= known[source][part]
            free[target] = max(free[target], max(begun[source], begun[target]) + lasts)

    first, second = range(pairs // 2), range(pairs // 2, pairs)
    neighbours = [(rank, rank + 1) for rank in range(0, left, 2)]
    send([(one, other, second) for one, other in neighbours] + [(other, one, first) for one, other in neighbours])
    send([(other, one, second) for one, other in neighbours])
    held = {rank: range(pairs) for rank in taking}
    for level in range(pairs.bit_length() - 1):
        messages = []
        for place, rank in enumerate(taking):
            parts = held[rank]
            middle = (parts.start + parts.stop) // 2
            halves = range(parts.start, middle), range(middle, parts.stop)
            bit = place >> level & 1
            messages.append((rank, taking[place ^ 1 << level], halves[1 - bit]))
            held[rank] = halves[bit]
        send(messages)
    for level in reversed(range(pairs.bit_length() - 1)):
        send([(rank, taking[place ^ 1 << level], held[rank]) for place, rank in enumerate(taking)])
        held = {
            rank: range(min(held[rank].start, other.start), max(held[rank].stop, other.stop))
            for place, rank in enumerate(taking)
            for other in [held[taking[place ^ 1 << level]]]
        }
    send([(one, other, range(pairs)) for one, other in neighbours])
    return max(free), have


@pytest.mark.parametrize("ranks", [2, 3, 5, 6, 8, 12, 27])
def test_halving_and_doubling_takes_as_long_as_its_messages(ranks):
    seconds, have = _halved(ranks)
    assert all(part == set(range(ranks)) for each in have for part in each)
    assert allreduce.halving_doubling(8e6, ranks, LINK) == pytest.approx(seconds)


def test_one_tensor_of_one_rank_a_node_costs_what_the_ring_does():
    sent = model(sizes=[8e6], transport=Transport(allreduce="ring", cycle_ms=0))
    found = simulator.simulate(sent, machine(16))
    expected = 0.1 + allreduce.negotiation(machine(16)) + allreduce.ring(8e6, 16, LINK) + 0.01
    assert found.step == pytest.approx(expected)
    assert (found.messages, found.slowest) == (1, pytest.approx(0))
    assert found.efficiency == pytest.approx(0.11 / expected)
    assert found.throughput == pytest.approx(8 * 16 / expected)


def test_hierarchical_is_a_ring_in_the_node_and_another_between_nodes():
    made = machine(8, 6)
    links = made.links[0]
    expected = allreduce.ring(8e6, 6, links.within) + allreduce.tree(8e6, 8, links.between)
    assert allreduce.seconds(8e6, made, "hierarchical-tree") == pytest.approx(expected)
    # A flat ring passes an adapter of the node once; where each rank has a partner afar, all six share it.
    assert allreduce.seconds(8e6, made, "recursive-doubling") > 6 * 5 * 8e6 / 1e10
    assert allreduce.seconds(8e6, made, "ring") == pytest.approx(
        2 * 7 * 2e-6 + 2 * 40 * 0.5e-6 + 2 * 47 / 48 * 8e6 / 1e10
    )


steps = st.builds(
    model,
    sizes=st.lists(st.floats(1e2, 1e8), min_size=1, max_size=12),
    transport=st.builds(
        Transport,
        overlap=st.booleans(),
        fusion_mib=st.sampled_from([0, 1, 64, 128]),
        cycle_ms=st.sampled_from([0, 1, 5]),
        allreduce=st.sampled_from(ALGORITHMS),
    ),
    seconds=st.floats(1e-3, 2),
)
shapes = st.tuples(st.integers(1, 300), st.sampled_from([1, 2, 4, 6, 8]))


@settings(max_examples=40, deadline=None)
@given(steps, shapes, st.floats(1.01, 50))
def test_what_holds_of_every_step(step, shape, factor):
    found = simulator.simulate(step, machine(*shape))
    assert 0 < found.efficiency <= 1 + 1e-12
    assert found.step == pytest.approx(step.compute + step.update + found.slowest + found.communication)
    if found.ranks == 1:
        assert found.efficiency == pytest.approx(1) and found.messages == 0
    slower = simulator.simulate(step, machine(*shape, speed=1e10 / factor))
    later = simulator.simulate(step, machine(*shape, latency=2e-6 * factor))
    assert min(slower.step, later.step) >= found.step * (1 - 1e-12)
    together = simulator.simulate(step_model.sending(step, overlap=False), machine(*shape))
    # Overlap wins at most the backward pass; what it can lose is a cycle and an agreement for each further message.
    assert found.step >= together.step - step.compute
    best = min(
        simulator.simulate(step_model.sending(step, allreduce=name), machine(*shape)).step for name in ALGORITHMS[1:]
    )
    assert simulator.simulate(step_model.sending(step, allreduce="auto"), machine(*shape)).step <= best * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.1), st.floats(0, 0.1), st.integers(64, 2000), st.floats(0, 2), st.floats(0, 2), st.integers(0, 9))
def test_more_jitter_never_helps(own, of_step, ranks, less, more, seed):
    step = model(spread=Jitter(rank_deviation=own, step_deviation=of_step))
    less, more = sorted((less, more))
    calm, wild = (simulator.simulate(step, machine(ranks), jitter=factor, seed=seed) for factor in (less, more))
    # Sent at the end of a cycle of 1 ms, so what is ready a little earlier need not be sent earlier.
    assert wild.step >= calm.step - 1e-12
    assert wild.slowest >= calm.slowest - 1e-12
    assert calm == simulator.simulate(step, machine(ranks), jitter=less, seed=seed)


def test_the_slowest_of_many_ranks_is_where_theory_has_it():
    # The mean of the greatest of n normal values: Harter (1961), 2.5076 of 100 and 3.2414 of 1,000.
    spread = Jitter(rank_deviation=0.01)
    for ranks, deviations in ((100, 2.5076), (1000, 3.2414)):
        found = np.mean([np.log(spread.slowest(ranks, seed)).mean() for seed in range(10)])
        assert found == pytest.approx(0.01 * deviations, rel=0.03)
    assert len(spread.slowest(4_000_000)) == 8


def test_jitter_of_a_run_is_measured():
    generator = np.random.default_rng(5)
    own = np.exp(0.05 * generator.standard_normal(400))
    seconds = own[:, None] * np.exp(0.02 * generator.standard_normal((400, 50)))
    found = jitter.measure(seconds)
    assert found.rank_deviation == pytest.approx(0.05, rel=0.1)
    assert np.mean(found.step_factors) == pytest.approx(1)
    assert np.std(found.step_factors) == pytest.approx(0.02, rel=0.05)
    assert not jitter.measure(np.full((1, 30), 0.2)).slowest(5000).std() > 1e-12


def test_behind_what_was_measured_the_tail_is_exponential():
    values = np.random.default_rng(1).exponential(1, 400)
    found = jitter.quantiles(values, np.array([0.0, 0.5, 0.9, 1 - 1e-4]))
    assert found[0] == values.min()
    assert found[1] == pytest.approx(np.median(values), rel=0.02)
    assert found[3] == pytest.approx(math.log(1e4), rel=0.2)
    levels = np.linspace(0, 0.9999, 5000)
    assert (np.diff(jitter.quantiles(values[:7], levels)) >= -1e-12).all()


@pytest.mark.parametrize(("fusion_mib", "sizes"), [(0, [1, 2, 3]), (3 / 2**20, [3, 3]), (1, [6])])
def test_the_fusion_buffer(fusion_mib, sizes):
    made = simulator.fuse(np.array([1.0, 2, 3]), np.array([0.1, 0.1, 0.1]), Transport(fusion_mib=fusion_mib))
    assert [size for _, size in made] == sizes


def test_gradients_are_sent_at_the_end_of_the_cycle_in_which_they_are_ready():
    ready = np.array([0.0101, 0.0149, 0.015, 0.0151])
    made = simulator.fuse(np.ones(4), ready, Transport(cycle_ms=5))
    assert made == [(pytest.approx(0.015), 3), (pytest.approx(0.02), 1)]
    assert len(simulator.fuse(np.ones(4), ready, Transport(cycle_ms=0))) == 4


def test_the_backward_pass_goes_from_back_to_front():
    made = step_model.model("net", 8, np.array([1.0, 2, 3]), 0.9, 1 / 3, np.array([1, 0, 2]))
    assert made.sizes.tolist() == [3, 2, 1]
    assert made.ready == pytest.approx([0.7, 0.7, 0.9])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_descriptions_are_whole(name):
    made = description.read(Path(name))
    ways, _ = simulate.links(simulate._site(made.site, Path(name)))
    assert made.ready[-1] == pytest.approx(made.compute)
    assert simulator.simulate(made, Cluster(1, 1, ways)).efficiency == pytest.approx(1)
    # Parameters as counted in docs/climate.md and by Keras, in millions.
    millions = {"deeplab-summit": 43.71, "tiramisu-piz-daint": 7.50, "vgg16-uber": 138.36, "inception3-uber": 23.82, "resnet101-uber": 44.60, "resnet50-dlperf": 25.58}  # fmt: skip
    assert made.sizes.sum() / 4e6 == pytest.approx(millions[name], rel=1e-3)


def test_the_published_end_points(capsys):
    """What docs/simulation.md says of them; the errors are as they are, and nothing was fitted to these points."""
    found = {}
    for name, nodes in (("deeplab-summit", 4560), ("tiramisu-piz-daint", 5300), ("inception3-uber", 128), ("resnet101-uber", 128), ("resnet50-dlperf", 4), ("vgg16-uber", 128)):  # fmt: skip
        assert main(["simulate", name, "--nodes", str(nodes), "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        found[name] = row["efficiency"]
    assert row["ranks"] == 512
    published = {"deeplab-summit": 0.907, "tiramisu-piz-daint": 0.790, "inception3-uber": 0.90, "resnet101-uber": 0.90, "vgg16-uber": 0.68, "resnet50-dlperf": 0.820}  # fmt: skip
    errors = {name: found[name] - published[name] for name in found}
    far = {name: errors.pop(name) for name in ("tiramisu-piz-daint", "resnet50-dlperf")}
    assert all(0.02 < error < 0.06 for error in errors.values()), errors
    assert all(0.13 < error < 0.17 for error in far.values()), far


SITE = """backend = "local"
[network]
inter_node_gbit_per_s = 8
inter_node_latency_us = 50
"""
NET = {
    "gradients": [
        {"name": "conv2d/kernel", "bytes": 4000},
        {"name": "conv2d/bias", "bytes": 40},
        {"name": "dense/kernel", "bytes": 8000000},
    ]
}


@pytest.fixture
def study(tmp_path):
    folder = studies.make(tmp_path / "study", repeats=1)
    for path in folder.glob("n*/training.json"):
        studies.change_json(path, **NET)
    (tmp_path / "here.toml").write_text(SITE)
    for path in folder.glob("n*/run.json"):
        studies.change_json(path, site="here")
    return folder


def test_a_study_is_simulated_and_compared_with_what_it_measured(study, capsys):
    assert main(["simulate", str(study), "--nodes", "1,2,64", "--site", str(study.parent / "here.toml")]) == 0
    out = capsys.readouterr().out
    assert "SIMULATED, not measured" in out
    assert "split by the bytes of the gradients" in out
    lines = [line.split() for line in out.splitlines()[2:6]]
    assert lines[0][-2:] == ["measured", "error"] and len(lines[3]) < len(lines[2])
    assert main(["simulate", str(study), "--nodes", "1,64", "--site", str(study.parent / "here.toml"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    alone, many = document["rows"]
    # 50.1 ms a step, of which 80 % until the gradients are ready.
    assert (document["compute_seconds"], document["update_seconds"]) == (pytest.approx(0.04008), pytest.approx(0.01002))
    assert alone["relative_error"] == pytest.approx(0) and "measured" not in many
    assert many["step"] > 0.0501 + 2 * 63 / 64 * 8004040 / 1e9


def test_what_was_measured_on_other_links_is_not_compared(study, capsys):
    there = study.parent / "there.toml"
    there.write_text(SITE.replace('"here"', '"there"'))
    for words in (["--site", str(there)], ["--site", str(study.parent / "here.toml"), "--ranks-per-node", "2"]):
        assert main(["simulate", str(study), "--nodes", "1,2", *words]) == 0
        out = capsys.readouterr().out
        assert "not compared with what was measured: that was on here, 1 rank per node" in out
        assert "error" not in out.splitlines()[2]


def test_a_trace_tells_when_each_gradient_is_ready(study):
    run = RunDir(study / "n1-r1")
    operations = [
        Operation("gradient_tape/net_1/dense_1/MatMul/MatMul", "MatMul", 5, 0.1),
        Operation("gradient_tape/net_1/conv2d_1/convolution/Conv2DBackpropFilter", "Conv", 5, 0.3),
        Operation("net_1/conv2d_1/convolution", "Conv", 5, 0.4),
        Operation("adam/AssignSubVariableOp", "Assign", 5, 9.0),
    ]
    run.traces.mkdir()
    step = {"number": 3, "start": 0.0, "seconds": 1.0, "hidden": 0.0}
    write(run, 0, RankTrace(0, 1, [Step(**step, parts=dict.fromkeys(PARTS, 0.1))], operations, []))
    made = step_model.of_run(run)
    # Half is the forward pass; the dense layer, the last, takes a quarter of the backward pass; a bias is small.
    assert made.ready == pytest.approx(made.compute * np.array([0.625, 0.6287, 1]), rel=1e-3)
    assert "split by the operations of its trace" in made.notes[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["deeplab-summit", "--nodes", "0"], "'0' is not a whole number of 1 or more"),
        (["deeplab-summit"], "needs --nodes"),
        (["deeplab-sumit", "--nodes", "2"], "is not a run, study or description"),
        (["deeplab-summit", "--nodes", "2", "--site", "laptop"], "does not say how fast its links are"),
        (["deeplab-summit", "--nodes", "2", "--site", "sumit"], "there is no site 'sumit'"),
        (["deeplab-summit", "--nodes", "900000", "--ranks-per-node", "12"], "are more than 10000000 ranks"),
        (["deeplab-summit", "--nodes", "2", "--jitter", "-1"], "'-1' is not a number of 0 or more"),
        (["deeplab-summit", "--nodes", "2", "--allreduce", "star"], "option --allreduce"),
    ],
)
def test_bad_words_are_refused_in_one_line(capsys, words, says):
    assert main(["simulate", *words]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


def test_a_run_that_does_not_tell_its_gradients_is_refused(tmp_path):
    run = studies.run(tmp_path / "old", 1, 8, 0.05)
    with pytest.raises(Refusal, match="does not tell its gradients"):
        step_model.of_run(run)


def test_a_published_model_is_found_beside_a_folder_of_runs(tmp_path, monkeypatch, capsys):
    studies.run(tmp_path / "runs" / "a", 1, 8, 0.05)
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", PUBLISHED[0], "--nodes", "1"]) == 0, capsys.readouterr().err
    assert main(["simulate", "nothing", "--nodes", "1"]) == 2


def test_the_run_of_a_program_has_no_layers(tmp_path):
    run = studies.run(tmp_path / "program", 1, 8, 0.05)
    publish_json(run.run_json, {**run.record(), "kind": "script"})
    run.training_json.unlink()
    with pytest.raises(
        Refusal, match="program is not the run of a workload, so its layers are not known: give one, or"
    ):
        step_model.of_run(run)


GOOD = 'batch = 1\nseconds = 1.0\ngradients = [[4, 1.0]]\nsite = "summit"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("batch = ", "cannot be read as TOML"),
        ("batch = 1", "lacks gradients, seconds"),
        (GOOD + "colour = 1", "unknown key 'colour'"),
        (GOOD.replace("1.0\n", "0\n"), "seconds = 0: give"),
        (GOOD.replace("[[4, 1.0]]", "[]"), "no bytes or no share"),
        (GOOD.replace("[[4, 1.0]]", "3"), "gradients = 3 is not a list"),
        (GOOD + "[transport]\noverlap = 'no'", "overlap = 'no': give true or false"),
        (GOOD + f"update = 1{'0' * 400}", "give a number"),
        (GOOD.replace("[[4, 1.0]]", "[[4, 0]]"), "no bytes or no share"),
        (GOOD.replace("[[4, 1.0]]", "[[-4, 1]]"), "gradients = -4: give"),
        (GOOD + "[jitter]\nrank = 1", "jitter: unknown key 'rank'"),
        (GOOD + "[jitter]\nrank_deviation = 'x'", "rank_deviation = 'x': give a number"),
        (GOOD + "[transport]\nallreduce = 'rang'", "allreduce = 'rang': give one of auto, ring"),
        (GOOD + "[transport]\nfusion = 1", "transport: unknown key 'fusion'"),
        (GOOD + "[transport]\ncycle_ms = 'x'", "cycle_ms = 'x': give a number"),
        (GOOD + "forward = 2", "forward = 2: give a number of 0 or more and at most 1"),
    ],
)
def test_descriptions_with_mistakes_are_refused(tmp_path, text, says):
    (tmp_path / "net.toml").write_text(text)
    with pytest.raises(Refusal) as refusal:
        description.read(tmp_path / "net.toml")
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_description_says_all_that_is_simulated(tmp_path):
    (tmp_path / "net.toml").write_text(GOOD + "ranks_per_node = 2\n[transport]\noverlap = true\n")
    made = description.read(tmp_path / "net.toml")
    assert dataclasses.asdict(made.transport) == dataclasses.asdict(Transport(overlap=True))
    assert (made.site, made.ranks_per_node, made.batch) == ("summit", 2, 1)
