"""The learning curve: the law through errors that follow one, and what is read from a study."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from workloads.cfd_resnet import learning_curve
from workloads.cfd_resnet.learning_curve import fit, main, read

FLOWS = (64, 128, 256, 512)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 2), st.floats(0.05, 1))
def test_an_exact_law_is_found(factor: float, exponent: float):
    law = fit(FLOWS, [factor * n**-exponent for n in FLOWS])
    assert (law.factor, law.exponent) == pytest.approx((factor, exponent), rel=1e-6)
    assert law.interval == pytest.approx((exponent, exponent), abs=1e-6)
    middle, low, high = law.at(4096)
    assert (low, high) == pytest.approx((middle, middle), rel=1e-6)


def test_the_intervals_are_those_of_linear_regression():
    """Of a new run at x: t s sqrt(1 + 1 / n + (x - mean)^2 / S), s the residual standard error; t of 2 degrees is 4.3027."""
    x, y = np.log(FLOWS), np.log((0.13, 0.099, 0.082, 0.076))
    slope, intercept = np.polyfit(x, y, 1)
    squares, s = ((x - x.mean()) ** 2).sum(), np.sqrt(((y - intercept - slope * x) ** 2).sum() / 2)
    law = fit(FLOWS, np.exp(y))
    assert law.interval == pytest.approx(
        (-slope - 4.3027 * s / squares**0.5, -slope + 4.3027 * s / squares**0.5), rel=1e-4
    )
    margin = 4.3027 * s * np.sqrt(1 + 1 / 4 + (np.log(4096) - x.mean()) ** 2 / squares)
    expected = np.exp(intercept + slope * np.log(4096) + margin * np.array([0, -1, 1]))
    assert law.at(4096) == pytest.approx(expected, rel=1e-4)
    assert np.isnan(fit(FLOWS[:2], np.exp(y[:2])).at(4096)[1:]).all()


def study(folder: Path, errors: dict[int, float | None]) -> Path:
    """A study as the launcher leaves it; a run without an error is not finished."""
    index = []
    for flows, error in errors.items():
        run = folder / f"n1-flows{flows}-seed0-r1"
        run.mkdir(parents=True)
        index.append({"run": run.name, "nodes": 1, "values": {"flows": str(flows)}, "repeat": 1})
        entry = ["-m", "workloads.training.train", "workloads.cfd_resnet", f"--flows={flows}", "--test-flows=100"]
        (run / "run.json").write_text(json.dumps({"entry": entry, "seed": 0}))
        if error:
            metrics = {"error": error, "test_error": error, "test_error_spread": 0.05, "test_times_better": 0.6 / error}
            (run / "result.json").write_text(json.dumps({"metrics": metrics, "steps": 960, "epochs": 7680 / flows / 2}))
    (folder / "study.json").write_text(json.dumps({"runs": index}))
    return folder


def test_studies_become_a_table_and_a_figure(tmp_path, capsys):
    first = study(tmp_path / "a", {64: 0.16, 256: 0.08, 1024: None})
    main([str(first), str(study(tmp_path / "b", {1024: 0.04}))])
    said = capsys.readouterr().out
    assert "| 64 | 0 | 960 | 60 | 16.0% | 16.0% | 0.5 | 3.8 |" in said
    assert "test error = 1.28 x flows^-0.500, exponent 0.500 to 0.500 (95 %, 3 runs)" in said
    assert "extrapolated to 4,096 flows: 2.0% (2.0% to 2.0%)" in said
    assert (first / "learning_curve.md").read_text().strip() in said
    picture = (first / "learning_curve.svg").read_bytes()
    assert picture.lstrip().startswith(b"<?xml")
    main([str(first), str(tmp_path / "b")])
    assert (first / "learning_curve.svg").read_bytes() == picture


def test_what_is_no_curve_is_refused(tmp_path):
    with pytest.raises(Refusal, match="is not a study: give the folder"):
        read([tmp_path])
    with pytest.raises(Refusal, match=r"two numbers of flows, .* have 1: wait for more \(1 are not finished\)"):
        read([study(tmp_path / "one", {64: 0.1, 128: None})])
    with pytest.raises(Refusal, match="give the folder of one, or of several"):
        learning_curve.main([])
