"""The solver against analytic and published flows, at a size that a test can afford; the full size is in the docs."""

import numpy as np
import pytest

from workloads.cfd_resnet.validation import SPECTRAL, cavity, circle_distance, cylinder, main, poiseuille


def values(rows) -> dict[str, float]:
    return {row.quantity: row.value for row in rows}


def test_poiseuille_flow_converges_with_second_order():
    coarse, fine = values(poiseuille(16)), values(poiseuille(32))
    order = np.log2(coarse["velocity error"] / fine["velocity error"])
    assert fine["velocity error"] < 1e-3
    assert 1.7 < order < 2.3
    assert fine["pressure gradient"] == pytest.approx(1, abs=2e-3)


def test_the_cavity_agrees_with_ghia_and_better_with_a_spectral_method():
    rows = cavity(64)
    found = values(rows)
    assert found["u, largest error"] < 0.01
    assert found["v, largest error"] < 0.01
    assert all(abs(row.error) < 0.005 for row in rows if row.quantity in SPECTRAL)


def test_the_drag_of_a_cylinder_is_within_2_percent():
    # Schaefer & Turek 1996, 2D-1: Cd 5.57 to 5.59. The rest is coarse at 10 cells; the docs have the full size.
    rows = {row.quantity: row for row in cylinder(10)}
    assert abs(rows["drag"].error) < 0.02
    assert abs(rows["lift"].error) < 0.10
    assert abs(rows["recirculation"].error) < 0.06
    assert abs(rows["pressure"].error) < 0.05


def test_links_cross_a_circle_where_they_should():
    x, y = np.meshgrid(np.arange(-3.0, 4), np.arange(-3.0, 4))
    distance = circle_distance(x, y, 2.5)
    assert distance[1, 3, 6] == pytest.approx(0.5)  # to the cell at (3, 0) from (2, 0), which lies inside
    assert np.isnan(distance[2, 3, 6]) and np.isnan(distance[1, 3, 0]), "a link that ends in the fluid has no distance"


def test_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert not ended.value.code
    assert "--full" in capsys.readouterr().out
