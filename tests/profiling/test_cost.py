"""What runs cost: energy, CO2e and price by hand; and the number of nodes that meets a deadline and a budget."""

import json

import pytest

from launch.errors import Refusal
from profiling.__main__ import main
from profiling.prediction import decision, run_estimate
from profiling.prediction.run_estimate import Bounded
from profiling.study import cost, runs, tables
from profiling.study.cost import Tariff
from tests.profiling import studies


@pytest.fixture
def study(tmp_path):
    """Runs of 40 s on 1, 2 and 4 nodes of a GPU each, which draws 200 W for 36 s of them."""
    folder = studies.make(tmp_path / "study", repeats=2)
    ended = {"event": "ended", "outcome": "done", "status": 0}
    for path in folder.glob("n*/run.json"):
        ranks, repeat = (int(word) for word in path.parent.name[1:].split("-r"))
        studies.change_json(path, gpus_per_node=1)
        studies.read_gpus(path.parent, ranks, 1.7e9 + 100 * repeat, 36)
        events = path.parent / "events.jsonl"
        lines = [line for line in events.read_text().splitlines() if json.loads(line)["event"] != "ended"]
        events.write_text("\n".join([*lines, json.dumps(ended | {"time": 1.7e9 + 100 * repeat + 40})]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("carbon", "price", "expected"),
    [
        ("380g/kWh", None, Tariff(0.38)),
        ("0.38 kg CO2e/kWh", None, Tariff(0.38)),
        (None, "2.5", Tariff(price=2.5)),
        (None, "2.5EUR/GPU-hour", Tariff(price=2.5, per="GPU", currency="EUR")),
        (None, "12 € / node hour", Tariff(price=12.0, per="node", currency="€")),
        (None, ".5/gpu-h", Tariff(price=0.5, per="GPU")),
    ],
)
def test_a_tariff_is_read_with_its_units(carbon, price, expected):
    assert cost.tariff(carbon, price) == expected


@pytest.mark.parametrize("word", ["380", "380g", "380 g/MJ", "-3g/kWh", "nang/kWh", "1,5kg/kWh"])
def test_a_carbon_intensity_without_its_unit_is_refused(word):
    with pytest.raises(Refusal, match="380g/kWh"):
        cost.tariff(word, None)


@pytest.mark.parametrize("word", ["", "-1", "2,5", "2.5/core-hour", "2.5 a lot/GPU-hour", "EUR"])
def test_a_price_that_is_not_understood_is_refused(word):
    with pytest.raises(Refusal, match="GPU-hour"):
        cost.tariff(None, word)


def test_a_run_costs_its_energy_and_its_hours(study):
    found = cost.of_runs([run.directory for run in runs.read(study).by_ranks[4]], Tariff(0.5, 3.0, "GPU"))
    for of in found:
        assert of["energy_kwh"] == pytest.approx(4 * 200 * 36 / 3.6e6)
        assert of["carbon_kg"] == pytest.approx(0.5 * of["energy_kwh"])
        assert of["price"] == pytest.approx(3.0 * 4 * 40 / 3600)


def test_nodes_are_paid_with_the_spare_ones(study):
    for run in runs.read(study).by_ranks[2]:
        studies.change_json(run.directory.run_json, spare_nodes=1)
    found = cost.of_runs([run.directory for run in runs.read(study).by_ranks[2]], Tariff(price=9.0, per="node"))
    assert [of["price"] for of in found] == pytest.approx([9.0 * 3 * 40 / 3600] * 2)


def test_the_verbs_show_costs_only_where_they_are_asked(study, capsys):
    asked = ["--carbon-intensity", "500g/kWh", "--price", "3EUR/GPU-hour"]
    assert main(["report", str(study), "--json", *asked]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rows"][2]["price"] == pytest.approx(3 * 4 * 40 / 3600)
    assert content["rows"][0]["carbon_kg"] == pytest.approx(0.5 * 200 * 36 / 3.6e6)
    assert main(["report", str(study), *asked]) == 0
    shown = capsys.readouterr().out
    assert "CO2e [kg]" in shown and "price [EUR]" in shown and "0.5 kg/kWh" in shown
    assert "price [EUR] per run" in (study / "report" / "report.md").read_text()
    assert main(["report", str(study)]) == 0
    assert "CO2e" not in capsys.readouterr().out + (study / "report" / "report.md").read_text()
    assert main(["summary", str(study / "n4-r1"), *asked]) == 0
    assert "0.008 kWh of GPU energy, 0.004 kg of CO2e, 0.13333 EUR" in capsys.readouterr().out
    assert main(["predict", str(study), "--nodes", "8", "--json", *asked]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert row["carbon_kg"]["value"] == pytest.approx(0.5 * row["energy_j"]["value"] / 3.6e6)
    assert row["price"]["high"] == pytest.approx(3 * row["gpu_hours"]["high"])


def test_the_price_of_an_hour_is_not_the_price_of_a_run(tmp_path, capsys):
    run = studies.make(tmp_path / "study", nodes=(2,), repeats=1) / "n2-r1"  # 30 s, without GPUs
    assert main(["summary", str(run), "--price", "2.5EUR/GPU-hour"]) == 0
    shown = capsys.readouterr().out
    assert "of the whole run: not known: price" in shown and "no GPUs were asked for: state a node-hour" in shown
    assert main(["summary", str(run), "--json", "--price", "2.5EUR/GPU-hour"]) == 0
    made = json.loads(capsys.readouterr().out)["cost"]
    assert "price" not in made and made["tariff"]["price"] == 2.5
    assert main(["summary", str(run), "--price", "12EUR/node-hour"]) == 0
    assert "of the whole run: 0.2 EUR" in capsys.readouterr().out


def test_a_carbon_intensity_needs_no_price(study, capsys):
    assert main(["summary", str(study / "n4-r1"), "--carbon-intensity", "500g/kWh"]) == 0
    assert "of the whole run: 0.008 kWh of GPU energy, 0.004 kg of CO2e\n" in capsys.readouterr().out


def test_costs_of_a_table_are_refused(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("workers,throughput,kind\n1,10,weak\n2,19,weak\n4,36,weak\n")
    for words in (["report", "--price", "2"], ["predict", "--workers", "8", "--carbon-intensity", "1g/kWh"]):
        assert main([words[0], str(table), *words[1:]]) == 2
    assert main(["predict", str(table), "--deadline", "6h"]) == 2
    assert capsys.readouterr().err.count("is a table") == 3


def _choices(study, limits, nodes=(1, 2, 4, 8), tariff=cost.NO_TARIFF):
    found = runs.read(study)
    series = tables.of_study(found)
    rates = run_estimate.rates(found, series.kind)
    return decision.choices(series, rates, tariff, limits, nodes, 0.9), rates


def test_the_probability_is_that_of_the_interval(study):
    (plain,), rates = _choices(study, decision.Limits(seconds=1e9), nodes=[8])
    assert plain.probability > 0.999
    for seconds, probability in ((plain.seconds.value, 0.5), (plain.seconds.high, 0.95), (plain.seconds.low, 0.05)):
        (choice,), _ = _choices(study, decision.Limits(seconds=seconds), nodes=[8])
        assert choice.probability == pytest.approx(probability, abs=0.01)
    (late,), _ = _choices(study, decision.Limits(seconds=rates.beside_s / 2), nodes=[8])
    assert late.probability == 0
    (dear,), _ = _choices(study, decision.Limits(budget=plain.hours.value), nodes=[8])
    assert dear.probability == pytest.approx(0.5, abs=0.01)
    priced, _ = _choices(study, decision.Limits(budget=7 * plain.hours.value), [8], Tariff(price=7.0, per="GPU"))
    assert priced[0].probability == pytest.approx(0.5, abs=0.01)
    assert priced[0].price.value == pytest.approx(7 * plain.hours.value)


def test_the_cheapest_that_meets_the_limits_is_used():
    def choice(nodes, hours, probability):
        return decision.Choice(nodes, Bounded(1, 1, 1), Bounded(hours, hours, hours), None, probability)

    assert decision.best([choice(1, 1, 0.2), choice(2, 3, 0.93), choice(4, 5, 0.99)]).nodes == 2
    assert decision.best([choice(1, 1, 0.2), choice(2, 3, 0.7), choice(4, 5, 0.6)]).nodes == 2


def test_the_verb_names_the_nodes(study, capsys):
    assert main(["predict", str(study), "--deadline", "1h", "--budget", "500", "--price", "2EUR"]) == 0
    shown = capsys.readouterr().out
    assert "use 1 node:" in shown and "EUR; a run meets the limits (60 min, 500 EUR) with above 99 %" in shown
    assert main(["predict", str(study), "--deadline", "2s", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["decision"]
    assert [choice["nodes"] for choice in made["choices"]] == [1, 2, 4, 8, 16]
    assert all(choice["probability"] == 0 for choice in made["choices"])


def test_no_nodes_are_named_where_the_fit_does_not_hold(tmp_path, capsys):
    folder = studies.make(tmp_path / "study", repeats=2, seconds=lambda ranks, repeat: 0.05 * (4 if ranks > 2 else 1))
    assert main(["predict", str(folder), "--deadline", "1h"]) == 2
    assert "no number of nodes can be named, as the fit does not hold" in capsys.readouterr().err
    assert main(["predict", str(folder), "--nodes", "8"]) == 0
    shown = capsys.readouterr().out
    assert "90% interval of throughput" in shown and "fit does not hold" in shown and "do not plan with it" in shown
    assert "speed-up" not in shown and "training [s]" not in shown and "averaged" not in shown
