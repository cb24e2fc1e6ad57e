"""A scaling law of one's own, as CONTRIBUTING.md says to add one: a term, and an entry of LAWS."""

from pathlib import Path

import numpy as np
import pytest

from profiling.prediction import laws
from profiling.prediction.laws import Law
from profiling.prediction.prediction import predict
from profiling.study import tables


def test_a_law_is_a_term_and_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Halo exchange in three dimensions, of which the cost grows with the surface of a cube of n workers."""
    monkeypatch.setitem(laws.TERMS, "cube", lambda n: np.cbrt(n) - 1)
    mine = Law("cube surface", ("cube",), 0.05)
    monkeypatch.setitem(laws.LAWS, "weak", (*laws.LAWS["weak"], mine))

    workers = [1, 8, 27, 64, 125, 216]
    cost = [1 + 0.1 * (n ** (1 / 3) - 1) for n in workers]
    table = tmp_path / "halo.csv"
    rows = [f"{n},{1000 * n / c},weak" for n, c in zip(workers, cost)]
    table.write_text("\n".join(["workers,throughput,scaling", *rows]))

    prediction = predict(tables.read(table), [1000])
    best = max(prediction.laws, key=lambda law: law.weight)
    assert best.name == "cube surface"
    (forecast,) = prediction.forecasts
    assert forecast.throughput == pytest.approx(1000 * 1000 / (1 + 0.1 * 9), rel=0.05)
