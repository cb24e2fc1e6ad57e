"""The solver: what holds for every flow, whatever the obstacles."""

import numpy as np
import pytest

from workloads.cfd_resnet.channel import Case
from workloads.cfd_resnet.d2q9 import DIRECTIONS, OPPOSITE, WEIGHTS
from workloads.cfd_resnet.lattice_boltzmann import Batch, solve
from workloads.cfd_resnet.obstacles import masks_from, random_mask

HEIGHT, LENGTH = 24, 72
CHANNEL = Case(HEIGHT, LENGTH, nu=0.05, u_max=0.1)  # Reynolds number 48


def obstacles(seed: int) -> np.ndarray:
    """A channel (H, L) with random obstacles in its first two thirds."""
    mask = random_mask(np.random.default_rng(seed), HEIGHT, 2 * HEIGHT, 3, "train")
    return np.pad(mask, [(0, 0), (0, LENGTH - mask.shape[1])])


@pytest.fixture(scope="module")
def flows() -> list:
    """Steady flows around obstacles 0 and 1, and around the mirror image of 0: one batch."""
    solid = np.stack([obstacles(0), obstacles(1), obstacles(0)[::-1]])
    return solve(CHANNEL, solid, tolerance=1e-4, most=40_000, every=500)


def test_the_lattice_is_isotropic():
    # The moments up to the fourth that the Navier-Stokes equations need: e.g. He & Luo 1997, eq. 6.
    c, w = DIRECTIONS.astype(float), WEIGHTS
    eye = np.eye(2)
    fourth = (
        np.einsum("ab,cd->abcd", eye, eye) + np.einsum("ac,bd->abcd", eye, eye) + np.einsum("ad,bc->abcd", eye, eye)
    )
    assert w.sum() == pytest.approx(1)
    assert np.einsum("i,ia->a", w, c) == pytest.approx(np.zeros(2))
    assert np.einsum("i,ia,ib->ab", w, c, c) == pytest.approx(eye / 3)
    assert np.einsum("i,ia,ib,ic,id->abcd", w, c, c, c, c) == pytest.approx(fourth / 9)
    assert (c[OPPOSITE] == -c).all()


def test_a_steady_flow_is_reached(flows):
    assert all(flow.change < 1e-4 and flow.steps < 40_000 for flow in flows)


def test_every_column_carries_what_the_inlet_lets_in(flows):
    rate = CHANNEL.inlet(np.arange(HEIGHT) + 0.5).sum()
    for flow in flows:
        assert flow.u.sum(axis=0) == pytest.approx(np.full(LENGTH, flow.u[:, 0].sum()), rel=5e-4)
        assert flow.u[:, 0].sum() == pytest.approx(
            rate, rel=2e-3
        )  # the parabola, summed over the links that cross the face


def test_obstacles_stand_still(flows):
    assert (flows[0].u[obstacles(0)] == 0).all() and (flows[0].v[obstacles(0)] == 0).all()


def test_a_mirrored_obstacle_has_the_mirrored_flow(flows):
    flow, mirrored = flows[0], flows[2]
    assert mirrored.u[::-1] == pytest.approx(flow.u, abs=1e-5)
    assert -mirrored.v[::-1] == pytest.approx(flow.v, abs=1e-5)
    assert mirrored.force == pytest.approx(flow.force * (1, -1), rel=1e-3)


def test_a_flow_does_not_depend_on_the_batch(flows):
    alone = solve(CHANNEL, obstacles(1)[None], tolerance=1e-4, most=40_000, every=500)[0]
    assert alone.steps == flows[1].steps
    assert alone.u == pytest.approx(flows[1].u, abs=1e-6)
    # A slot that another flow has used before, beside slots that are empty or at another time.
    batch = Batch(CHANNEL, 3)
    batch.put(0, obstacles(0))
    batch.put(2, obstacles(3))
    batch.advance(500)
    batch.put(2, obstacles(1))
    while batch.steps(2) < alone.steps:
        batch.advance(500)
    assert batch.take(2).u == pytest.approx(alone.u, abs=1e-6)
    assert batch.take(2).force == pytest.approx(alone.force, rel=1e-4)


def test_steps_one_by_one_are_those_made_at_once():
    once, singly = Batch(CHANNEL, 1), Batch(CHANNEL, 1)
    for batch in (once, singly):
        batch.put(0, obstacles(0))
    once.advance(5)
    for _ in range(5):
        singly.advance(1)
    assert (once.take(0).u == singly.take(0).u).all() and (once.take(0).force == singly.take(0).force).all()


def test_the_force_balances_momentum(flows):
    # What comes in and presses at one column, less what leaves and presses at another, and what the walls take, is what
    # the obstacles feel. The walls' share follows from the velocity gradient there, so the balance holds to its accuracy.
    solid, flow = obstacles(0), flows[0]
    columns = np.flatnonzero(solid.any(axis=0))
    first, last = columns[0] - 4, columns[-1] + 5
    through = (flow.u**2 + flow.pressure).sum(axis=0)
    friction = CHANNEL.nu * 2 * (flow.u[0] + flow.u[-1])  # the wall is half a cell from the row
    balance = through[first] - through[last] - friction[first : last + 1].sum()
    assert flow.force[0] == pytest.approx(balance, rel=0.05)


def test_a_closed_box_keeps_its_mass():
    case = Case(16, 24, nu=0.05, lid=0.1)
    batch = Batch(case, 1)
    batch.put(0, np.zeros((16, 24), bool))
    batch.advance(4000)
    flow = batch.take(0)
    assert abs(flow.u).max() > 0.03, "the lid moves nothing"
    assert abs(flow.pressure.mean()) < 1e-6
    assert abs(flow.u.sum(axis=0)).max() < 1e-4, "there is a net flow through a column of a closed box"


def test_what_blows_up_is_told():
    flow = solve(Case(16, 32, nu=1e-4, u_max=0.9), np.zeros((1, 16, 32)), tolerance=1e-4, most=20_000, every=200)[0]
    assert np.isnan(flow.change)


def test_a_car_becomes_steady(shared_data):
    mask = masks_from(shared_data / "cfd" / "cars", 32, 64)["car_001.txt"]
    case = Case(32, 96, nu=0.05, u_max=0.1)
    flow = solve(case, np.pad(mask, [(0, 0), (0, 32)])[None], tolerance=1e-3, most=20_000, every=500)[0]
    assert flow.change < 1e-3
    assert flow.force[0] > 0, "the flow does not push the car along"
    behind = np.flatnonzero(mask.any(axis=0))[-1] + 2
    assert flow.u[-4:, behind].mean() < 0.3 * flow.u[:16, behind].mean(), "the car casts no wake"
