"""Deep Potential: neighbours, forces, symmetries, refusals, 1 rank against 2, and the dynamics."""

import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks
from small_molecules import BOX, COUNTS, CUTOFF, check_forces, write

from launch.errors import Refusal
from launch.record.rundir import RunDir
from workloads.molecules import Config, dynamics, systems

WORDS = ["--cutoff=3", "--embedding=4,8", "--fitting=8,8", "--axes=4", "--timestep=4", "--temperature=30"]


def test_neighbours_are_those_of_all_images_and_each_displacement_has_its_opposite():
    positions = np.random.default_rng(1).uniform(-1, 2, (8, 3)) @ BOX
    displacements, reverse = systems.neighbours(positions, BOX, COUNTS, (9, 6), CUTOFF)
    images = np.array(list(product((-3, -2, -1, 0, 1, 2, 3), repeat=3))) @ BOX
    for atom, own in enumerate(displacements):
        for part, slots in ((slice(0, 5), own[:9]), (slice(5, 8), own[9:])):
            vectors = (positions[part, None] + images - positions[atom]).reshape(-1, 3)
            distance = np.linalg.norm(vectors, axis=1)
            expected = np.sort(distance[(distance > 1e-9) & (distance < CUTOFF)])
            found = np.sort(np.linalg.norm(slots, axis=1))
            np.testing.assert_allclose(found[: len(expected)], expected, rtol=1e-5)
            np.testing.assert_allclose(found[len(expected) :], CUTOFF, rtol=1e-5)
    flat, reverse = displacements.reshape(-1, 3), reverse.ravel()
    assert np.array_equal(reverse[reverse], np.arange(len(reverse)))
    there = reverse != np.arange(len(reverse))
    np.testing.assert_allclose(flat[there], -flat[reverse[there]], atol=1e-5)
    with pytest.raises(systems.Crowded):
        systems.neighbours(positions, BOX, COUNTS, (0, 0), CUTOFF)


@pytest.mark.parametrize("engine", ranks.SLOW_ON_JAX)
def test_forces_are_the_gradient_of_the_energy(engine: str, tmp_path: Path):
    if engine == "horovod":
        check_forces(tmp_path, engine)
        return
    file = Path(__file__).with_name("small_molecules.py")
    path = f"{ranks.ROOT}:{ranks.ROOT / 'launch' / 'inside'}"
    done = subprocess.run(
        [ranks.JAX, file, engine, tmp_path], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", ranks.SLOW_ON_JAX)
def test_two_ranks_learn_what_one_does_and_the_run_ends_with_dynamics(engine: str, tmp_path: Path):
    data, found = write(tmp_path / "data", "a", frames=8), {}
    shutil.copytree(data / "a", data / "b")  # measured on what is learned from: eight frames say little of others
    for size in (1, 2):
        started = ranks.train(
            size, tmp_path / f"n{size}", f"--data={data}", *WORDS, f"--dynamics={0.2 if size == 1 else 0}",
            f"--batch={2 // size}", "--lr-scaling=none", "--shards=2", "--epochs=10", "--evaluate-every=5",
            "--no-tensorboard", workload="workloads.molecules", engine=engine,
        )  # fmt: skip
        assert started.wait() == [0] * size, started.output()
        found[size] = RunDir(tmp_path / f"n{size}").result()["metrics"]
    for name in ("loss", "force_rmse", "energy_rmse_mev_per_atom"):
        assert found[2][name] == pytest.approx(found[1][name], rel=1e-3), name
    first = next(e for e in RunDir(tmp_path / "n1").events() if e["event"] == "evaluated")["metrics"]
    assert found[1]["force_rmse"] < first["force_rmse"]
    assert {"drift_mev_per_atom_per_ps", "oo_peak_angstrom", "temperature_k"} <= found[1].keys()
    assert (tmp_path / "n1" / "figures" / "molecules.png").stat().st_size > 5000


class Springs:
    """A potential whose energy and forces are known, in place of a network."""

    class shape:
        counts, room, cutoff = COUNTS, (8, 8), 3.5

    def predict_on_batch(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        displacements = inputs["displacements"][0].astype(np.float64)
        distance = np.linalg.norm(displacements, axis=-1, keepdims=True)
        close = np.maximum(3.5 - distance, 0)
        return {
            "energy": np.array([0.25 * (close**2).sum()]),
            "force": -(close * displacements / distance).sum(axis=1)[None],
        }


def test_the_dynamics_keep_the_energy(tmp_path: Path):
    """The error of velocity Verlet falls with the square of its time step."""
    system = systems.split(write(tmp_path), "")[1]
    spread = []
    for timestep in (2.0, 1.0):
        config = Config(data=tmp_path, dynamics=0.4, timestep=timestep, temperature=100.0)
        went = dynamics.run(Springs(), system, config)
        assert len(went.times) == round(400 / timestep) and went.times[-1] == pytest.approx(0.4)
        spread.append(went.energies.std())
    assert spread[0] < 0.01 and spread[1] < 0.5 * spread[0]
    assert 20 < went.temperatures.mean() < 500


def test_distances_between_atoms():
    random, box = np.random.default_rng(0), np.eye(3) * 10.0
    r, g = dynamics.distances(random.uniform(0, 10, (200, 40, 3)), np.tile(box, (200, 1, 1)))
    assert g[r > 2].mean() == pytest.approx(1, abs=0.02) and r[-1] < 5
    lattice = np.array(list(product(range(4), repeat=3)), float)[None] * 2.52
    r, g = dynamics.distances(lattice, np.eye(3)[None] * 4 * 2.52)
    assert r[g > 0][:2] == pytest.approx([2.52, 2.52 * 2**0.5], abs=dynamics.WIDTH)


def test_masses(tmp_path: Path):
    system = systems.split(write(tmp_path), "")[0]
    assert system.names == ("H", "O") and dynamics.masses(system, ()).tolist() == [1.008, 15.999]
    with pytest.raises(Refusal, match="'Xx' is not known: give --masses"):
        dynamics.masses(system._replace(names=("H", "Xx")), ())
    with pytest.raises(Refusal, match="--masses has 1 values"):
        dynamics.masses(system, (2.0,))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def with_nan(path: Path) -> None:
    array = np.load(path)
    array[3] = np.nan
    np.save(path, array)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no force": (lambda f: (f / "a/set.000/force.npy").unlink(), "force.npy cannot be read .No such file"),
    "cut coord": (lambda f: cut(f / "a/set.000/coord.npy"), "coord.npy cannot be read"),
    "text": (lambda f: (f / "b/set.000/box.npy").write_text("7 7 7"), "box.npy cannot be read"),
    "short energy": (lambda f: np.save(f / "a/set.000/energy.npy", np.ones(5)), r"energy.npy has the shape \(5,\)"),
    "wide force": (lambda f: np.save(f / "a/set.000/force.npy", np.ones((6, 27))), r"\(6, 24\) is needed"),
    "nan": (lambda f: with_nan(f / "b/set.000/coord.npy"), "not finite in frame 3"),
    "flat box": (lambda f: np.save(f / "b/set.000/box.npy", np.ones((6, 9))), "without volume"),
    "words as types": (lambda f: (f / "a/type.raw").write_text("O H H"), "type.raw is not a list of types"),
    "other types": (lambda f: (f / "b/type.raw").write_text("0\n" * 4 + "1\n" * 4), "give systems of the same atoms"),
    "unnamed": (lambda f: (f / "a/type_map.raw").write_text("O"), "type_map.raw names 1"),
    "no sets": (lambda f: shutil.rmtree(f / "a/set.000"), "no folder set.000"),
    "one system": (lambda f: shutil.rmtree(f / "a"), "has 1 folders with a type.raw"),
    "mixed": (lambda f: np.save(f / "a/set.000/real_atom_types.npy", np.ones((6, 8))), "frames of different atoms"),
    "cluster": (lambda f: (f / "a/nopbc").touch(), "not periodic"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_system_is_refused(name: str, tmp_path: Path):
    damage, line = DAMAGES[name]
    damage(write(tmp_path))
    with pytest.raises(Refusal, match=line):
        systems.split(tmp_path, "")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"smooth": 7.0}, "--smooth 7 is not below --cutoff 5"),
        ({"axes": 99}, "--axes 99"),
        ({"precision": "bfloat16"}, "too coarse"),
    ],
)
def test_wrong_options(given: dict[str, Any], line: str):
    with pytest.raises(Refusal, match=line):
        Config(**given)


def test_types_are_known_by_their_names(tmp_path: Path):
    """However the systems number them."""
    expected = systems.read(write(tmp_path, "a") / "a")
    types = (tmp_path / "a" / "type.raw").read_text().split()
    (tmp_path / "a" / "type.raw").write_text(" ".join({"0": "1", "1": "2"}[each] for each in types))
    (tmp_path / "a" / "type_map.raw").write_text("C\nO\nH\n")
    found = systems.read(tmp_path / "a")
    assert found[:2] == expected[:2] == (("H", "O"), (5, 3))
    np.testing.assert_array_equal(found.positions, expected.positions)


def test_what_does_not_fit_the_data(tmp_path: Path):
    with pytest.raises(Refusal, match="give --data FOLDER"):
        Config().describe(1)
    system, _ = systems.split(write(tmp_path), "a")
    with pytest.raises(Refusal, match="--cutoff 3.6 is more than half"):
        systems.refuse_small(system, 3.6)
    with pytest.raises(Refusal, match="no system 'c'"):
        systems.split(tmp_path, "c")
    with pytest.raises(Refusal, match="--cutoff 0.6 reaches no neighbour"):
        systems.room(system, 0.6)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ranks.ENGINES)
def test_water_is_learned(engine: str, shared_data: Path, tmp_path: Path):
    done = ranks.train(
        1, tmp_path, f"--data={shared_data / 'water'}", "--epochs=5", "--evaluate-every=0", "--embedding=8,16,32",
        "--dynamics=0", workload="workloads.molecules", engine=engine,
    )  # fmt: skip
    assert done.wait(1800) == [0], done.output()
    assert RunDir(tmp_path).result()["metrics"]["force_rmse"] < 0.3  # 0.82 is the deviation of the forces
