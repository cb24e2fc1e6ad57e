"""Small systems of atoms for tests, and the check of a network's forces on either engine:   small_molecules.py ENGINE FOLDER"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from workloads.molecules import systems

COUNTS, BOX, CUTOFF = (5, 3), np.array([[7.5, 0, 0], [0.5, 7.0, 0], [0, 0.3, 8.0]]), 3.0


def springs(positions: np.ndarray, box: np.ndarray, length: float = 2.6) -> tuple[float, np.ndarray]:
    """Energy and forces of atoms that repel each other below a distance, in eV and eV/Angstrom."""
    vectors = systems.between(positions, box)
    distance = np.linalg.norm(vectors, axis=-1) + 1e9 * np.eye(len(positions))
    close = np.maximum(length - distance, 0)
    return 0.25 * float((close**2).sum()), -((close / distance)[..., None] * vectors).sum(axis=1)


def write(folder: Path, names: str = "ab", frames: int = 6, seed: int = 0) -> Path:
    """Systems of 8 atoms in DeePMD-kit's layout, their types mixed."""
    types = np.array([0, 1, 1, 0, 1, 1, 0, 1])
    for place, name in enumerate(names):
        random = np.random.default_rng([seed, place])
        (folder / name / "set.000").mkdir(parents=True)
        (folder / name / "type.raw").write_text("\n".join(map(str, types)))
        (folder / name / "type_map.raw").write_text("O H")
        positions = random.uniform(0, 1, (frames, 8, 3)) @ BOX
        for _ in range(50):
            positions += 0.3 * np.array([springs(each, BOX)[1] for each in positions])
        positions += random.normal(0, 0.1, positions.shape)
        energies, forces = zip(*(springs(each, BOX) for each in positions))
        arrays = {"box": np.tile(BOX.ravel(), (frames, 1)), "coord": positions, "energy": energies, "force": forces}
        for key, values in arrays.items():
            np.save(
                folder / name / "set.000" / f"{key}.npy", np.reshape(values, (frames, -1) if key != "energy" else -1)
            )
    return folder


def check_forces(folder: Path, engine: Any) -> None:
    """Check that forces are the slope of the energy, and what leaves both as they are."""
    import keras

    from launch.node.rank import Rank
    from workloads.molecules import Config, build

    keras.utils.set_random_seed(1)
    config = Config(data=write(folder), engine=engine, cutoff=CUTOFF, embedding=(4, 8), fitting=(8, 8), axes=4)
    model: Any = build(config, Rank()).model
    positions, random, step = systems.split(folder, "")[0].positions[0], np.random.default_rng(0), 0.01
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    order, displacements = np.array([2, 0, 1, 4, 3, 7, 6, 5]), random.normal(size=(5, *positions.shape))
    frames = [
        (positions, BOX),
        (positions + [1.0, 2.0, 3.0], BOX),
        (positions @ turn, BOX @ turn),
        (positions[order], BOX),
    ]
    frames += [(positions + sign * step * way, BOX) for way in displacements for sign in (1, -1)]
    near = [systems.neighbours(*frame, COUNTS, model.shape.room, CUTOFF) for frame in frames]
    outputs = model(
        {"displacements": np.stack([each[0] for each in near]), "reverse": np.stack([each[1] for each in near])}
    )
    energies, forces = (np.asarray(keras.ops.convert_to_numpy(outputs[name])) for name in ("energy", "force"))
    force = forces[0]
    assert np.abs(force).max() > 0.01
    # The difference of energies in float32 is good to about 1e-6 / 0.02.
    gradients = (energies[4::2] - energies[5::2]) / (2 * step)
    np.testing.assert_allclose(-gradients, (force * displacements).sum(axis=(1, 2)), rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(energies[:4], energies[0], rtol=1e-4, atol=1e-5)
    for name, found, expected in zip(("moved", "turned", "exchanged"), forces[1:], (force, force @ turn, force[order])):
        np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(force.sum(axis=0), 0, atol=1e-4)


if __name__ == "__main__":
    from workloads.training import engines

    engines.load(sys.argv[1])  # type: ignore
    check_forces(Path(sys.argv[2]), sys.argv[1])
