"""Predictions: their accuracy on published and synthetic series, their properties, and when they say that no law holds."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from profiling.prediction import laws, posterior, prediction
from profiling.study import tables
from profiling.study.tables import Point, Series


def series(workers, throughput, kind="weak"):
    return Series(
        "s", kind, "examples/s", tuple(Point(n, (float(x),)) for n, x in zip(workers, throughput, strict=True))
    )


def one(known, workers, confidence=0.9):
    return prediction.interval(posterior.fit(known, [workers]).mixtures[0], workers, confidence)


@pytest.fixture(scope="module")
def held_out(shared_data):
    """(series, measured, low, median, high) of each published series whose last point was held out."""
    path = shared_data / "scaling" / "published_series.json"
    found = []
    for name in tables.names(path):
        whole = tables.read(path, name)
        last = whole.points[-1]
        known = dataclasses.replace(whole, points=whole.points[:-1])
        found.append((whole, last.throughput, *one(known, last.workers)))
    return found


def test_published_series_are_predicted(held_out):
    # The goal of the project: median error 3 %, 90th percentile 8 %, 90 % intervals that hold 85 to 95 %, collapses and all.
    # The three strong ones, of which two come to a standstill, miss the percentile: docs/prediction.md.
    errors = [abs(median / measured - 1) for _, measured, _, median, _ in held_out]
    assert np.median(errors) <= 0.0305
    weak = [error for error, (whole, *_) in zip(errors, held_out, strict=True) if whole.kind == "weak"]
    assert np.percentile(weak, 90) <= 0.08
    assert max(error for error in errors if error not in weak) <= 0.17
    assert 0.85 <= np.mean([low <= measured <= high for _, measured, low, _, high in held_out]) <= 0.95


def test_workers_that_share_the_memory_of_a_node_slow_each_other_down_only_so_far(shared_data):
    # N-body code of which 16 and 32 processes have the same efficiency (its source is in the file): Amdahl's law is 29 % too low.
    whole = tables.read(shared_data / "scaling" / "more_series.json", "MPI N-body, 131072 particles, strong")
    _, median, _ = one(dataclasses.replace(whole, points=whole.points[:-1]), 32)
    assert median == pytest.approx(whole.points[-1].throughput, rel=0.17)


def test_a_collapse_is_called_one(held_out):
    said = {whole.name: prediction.problems(whole) for whole, *_ in held_out}
    flagged = {name for name, problems in said.items() if problems}
    # The two series of the file that stop growing: a saturated network (its source says so), and a throughput that falls.
    assert flagged == {"TF p2.xlarge 1 GPU/node InceptionV3 CSCS", "PIERNIK strong A"}
    assert any("saturated" in problem for problem in said["TF p2.xlarge 1 GPU/node InceptionV3 CSCS"])
    assert any("throughput falls" in problem for problem in said["PIERNIK strong A"])


def test_behind_a_collapse_the_interval_says_that_throughput_may_stay_as_it_is():
    # InceptionV3 on p2.xlarge, synthetic data (e-bug/distributed-tensorflow-benchmarks, report): 128 GPUs gave 1077.59.
    measured = [30.55, 57.45, 114.57, 228.41, 431.64, 825.64, 996.32]
    made = prediction.predict(series([1, 2, 4, 8, 16, 32, 64], measured), [128])
    assert made.problems
    assert made.forecasts[0].low <= 1077.59 <= made.forecasts[0].high
    assert any("interval stretched" in warning for warning in made.forecasts[0].warnings)


WEAK = {
    "log": lambda n: 1 + 0.02 * np.log2(n),
    "serial": lambda n: 1 + 0.0006 * (n - 1),
    "ring": lambda n: 1 + 0.15 * (n - 1) / n,
    "power": lambda n: n**0.03,
}
STRONG = {
    "amdahl": lambda n: 1 + 0.002 * (n - 1),
    "tree": lambda n: 1 + 0.0005 * n * np.log2(n),
    "usl": lambda n: 1 + 0.001 * (n - 1) + 0.00001 * n * (n - 1),
}


@pytest.mark.parametrize("kind", ["weak", "strong"])
def test_series_made_from_a_law_are_predicted(kind):
    generator = np.random.default_rng(11)
    n = np.array([1, 2, 4, 8, 16, 32, 64, 128])
    inside, errors = [], []
    for law in (WEAK if kind == "weak" else STRONG).values():
        for _ in range(5):
            throughput = 100 * n / law(n) * np.exp(0.01 * generator.standard_normal(len(n)))
            low, median, high = one(series(n[:-1], throughput[:-1], kind), 128)
            inside.append(low <= throughput[-1] <= high)
            errors.append(abs(median / throughput[-1] - 1))
    assert np.mean(inside) >= 0.85  # wider than such tame series need: real ones set the width (docs/prediction.md)
    assert np.median(errors) <= 0.03


@pytest.mark.parametrize(
    ("workers", "share"),
    [((1, 4), 0.95), ((6, 12, 24), 0.95), ((3, 5, 7, 11), 0.95), ((24, 96, 100, 384), 0.9)],
)
def test_few_points_odd_numbers_and_a_base_above_one(workers, share):
    throughput = [10 * n * share ** math.log2(n / workers[0]) for n in workers]
    low, median, high = one(series(workers, throughput), 2 * workers[-1])
    assert low < median < high
    assert median == pytest.approx(2 * throughput[-1] * share, rel=0.1)
    below = prediction.predict(series(workers, throughput), [1]).forecasts[0]
    assert below.throughput == pytest.approx(10 * share ** -math.log2(workers[0]), rel=0.3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["weak", "strong"])
@pytest.mark.parametrize(
    ("workers", "throughput"),
    [
        ((100, 101), (1000, 1009)),
        ((1, 2, 4, 8), (1, 2.5, 6, 14)),  # better than perfect
        ((1, 2, 3), (1e-12, 1e-15, 1e-18)),
        ((2, 1_000_000), (1, 2)),
        ((7, 9, 13), (7, 9, 13)),  # perfect
    ],
)
def test_extremes_stay_finite_and_in_order(kind, workers, throughput):
    asked = [1, workers[-1], workers[-1] * 64]
    for forecast in prediction.predict(series(workers, throughput, kind), asked).forecasts:
        assert 0 < forecast.low <= forecast.throughput <= forecast.high < math.inf


sizes = st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 16, 24, 48, 64]), min_size=2, max_size=5, unique=True).map(sorted)


@settings(max_examples=6, deadline=None)
@given(sizes, st.floats(0.85, 1.0), st.sampled_from([1e-5, 7.3, 1e7]), st.sampled_from(["weak", "strong"]))
def test_the_unit_does_not_matter_and_distance_widens(workers, share, unit, kind):
    throughput = [10 * n * share ** math.log2(n) for n in workers]
    asked = [workers[-1] * factor for factor in (1, 2, 4, 16)]
    plain = prediction.predict(series(workers, throughput, kind), asked).forecasts
    scaled = prediction.predict(series(workers, [x * unit for x in throughput], kind), asked).forecasts
    for a, b in zip(plain, scaled, strict=True):
        assert b.throughput == pytest.approx(a.throughput * unit, rel=1e-6)
        assert (b.efficiency, b.efficiency_low) == pytest.approx((a.efficiency, a.efficiency_low), rel=1e-6)
    widths = [forecast.high / forecast.low for forecast in plain]
    assert widths == sorted(widths)
    assert plain[0].throughput == pytest.approx(throughput[-1], rel=0.03)  # where it was measured, within noise


def test_repeats_narrow_the_interval_where_they_agree():
    workers, throughput = [1, 2, 4, 8], [100, 193, 370, 715]
    single = series(workers, throughput)
    points = tuple(
        Point(n, tuple(x * f for f in (0.999, 1, 1.001, 0.9995))) for n, x in zip(workers, throughput, strict=True)
    )
    low, _, high = one(single, 16)
    closer_low, _, closer_high = one(dataclasses.replace(single, points=points), 16)
    assert closer_high / closer_low < high / low


def test_the_law_that_made_a_series_is_recognised_with_its_parameter():
    n = np.array([1, 2, 4, 8, 16, 32, 64, 128])
    made = prediction.predict(series(n, 100 * n / (1 + 0.01 * (n - 1)), "strong"), [256])
    serial = [parameter for parameter in made.laws[0].parameters if parameter.name == "serial"]
    assert "serial" in {term for law in laws.LAWS["strong"] if law.name == made.laws[0].name for term in law.terms}
    assert serial[0].low <= 0.01 <= serial[0].high
    assert sum(law.weight for law in made.laws) == pytest.approx(1)


def test_warnings_and_problems():
    made = prediction.predict(series([2, 4], [20, 39]), [1, 32])
    assert any("below the first measured point" in warning for warning in made.forecasts[0].warnings)
    assert any("extrapolates x8 beyond the last measured point (4 workers)" in w for w in made.forecasts[1].warnings)
    assert any("2 points cannot tell the laws apart" in warning for warning in made.forecasts[1].warnings)
    assert made.problems == ()
    falling = prediction.problems(series([1, 2, 4], [10, 19, 15], "strong"))
    assert any(
        problem.startswith("fit does not hold: throughput falls from 19 at 2 workers to 15 at 4") for problem in falling
    )


@pytest.mark.parametrize(("workers", "confidence"), [([], 0.9), ([0], 0.9), ([4], 0.0), ([4], 1.0), ([4], math.nan)])
def test_what_cannot_be_predicted_is_refused(workers, confidence):
    with pytest.raises(Refusal):
        prediction.predict(series([1, 2], [1, 2]), workers, confidence)


@pytest.mark.parametrize("kind", ["weak", "strong"])
def test_every_law_rises_by_what_it_is_laid_out_for(kind):
    first, last = 6.0, 96.0
    for curves in laws.curves(kind, np.array([first, last]), first, last):
        rise = curves.log_cost[:, 1] - curves.log_cost[:, 0]
        nearest = np.abs(rise[:, None] - np.concatenate([laws.FALLS, laws.RISES])).min(1)
        assert nearest.max() < 1e-9, curves.law.name
    priors = [np.exp(curves.log_prior).sum() for curves in laws.curves(kind, np.array([first, last]), first, last)]
    assert sum(priors) == pytest.approx(1, abs=0.05)  # less what laws cannot rise by


def test_quantiles_of_one_normal():
    mixture = posterior.Mixture(np.array([1.0]), np.array([3.0]), np.array([0.5]))
    # 1.6449 deviations hold 90 % of a normal law.
    assert mixture.quantiles((0.05, 0.5, 0.95)) == pytest.approx([3 - 0.82243, 3, 3 + 0.82243], abs=2e-3)


def test_what_no_number_can_hold_is_refused():
    with pytest.raises(Refusal, match="give them in another unit"):
        prediction.predict(series([1, 2, 4], [1e300, 1.9e300, 3.7e300]), [10**9])


def test_a_single_slow_last_run_makes_the_prediction_unsure():
    rates = {1: (100, 100.5, 99.6), 2: (198, 199, 197.6), 4: (392, 393.5, 391), 8: (620.0,)}
    series = tables.Series("s", "weak", "examples/s", tuple(tables.Point(n, rate) for n, rate in rates.items()))
    at, beyond = prediction.predict(series, [8, 16]).forecasts
    assert at.low < 620 and at.high > 770 and beyond.high > 1450
    assert any("is one run" in warning for warning in at.warnings)
