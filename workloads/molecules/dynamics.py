"""Molecular dynamics by a trained network: how well energy is conserved, and how far atoms are from each other.

    python -m workloads.molecules.dynamics runs/water --dynamics 5     # with the newest checkpoint of a run

Velocity Verlet from the first frame that is held out, brought to its temperature before anything is measured.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from launch import errors
from launch.errors import Refusal
from launch.record.rundir import RunDir
from workloads.molecules import EVERY
from workloads.molecules.systems import Crowded, System, between, neighbours, width

BOLTZMANN = 8.617333262e-5  # eV/K; from CODATA 2018, like the next one
ACCELERATION = 9.64853321e-3  # Angstrom/fs^2 of 1 eV/Angstrom at 1 u
SETTLING = 0.5  # ps in which the temperature is held, before anything is measured
OPTIONS = ("dynamics", "timestep", "temperature", "masses")  # options that may differ from those of the run
WIDTH = 0.05  # width of the bins of distances, Angstrom
MASSES = dict(H=1.008, He=4.0026, Li=6.94, C=12.011, N=14.007, O=15.999, F=18.998, Ne=20.18, Na=22.99, Mg=24.305)
MASSES |= dict(Al=26.982, Si=28.085, P=30.974, S=32.06, Cl=35.45, Ar=39.95, K=39.098, Ca=40.078, Ti=47.867, Fe=55.845)
MASSES |= dict(Ni=58.693, Cu=63.546, Zn=65.38, Ga=69.723, Ge=72.63, As=74.922, Br=79.904, Ag=107.87, I=126.9)
"""Standard atomic weights, abridged (IUPAC 2021)."""


class Journey(NamedTuple):
    """What the dynamics of a system recorded.

    Parameters
    ----------
    times : ndarray of float64, (T,)
        Time of each step, in ps.
    energies, temperatures : ndarray of float64, (T,)
        Sum of potential and kinetic energy, in eV, and temperature, in K.
    positions : ndarray of float64, (S, N, 3)
        Positions of the atoms in every 10th step, in Angstrom.
    """

    times: np.ndarray
    energies: np.ndarray
    temperatures: np.ndarray
    positions: np.ndarray


def masses(system: System, given: tuple[float, ...]) -> np.ndarray:
    """Return the masses of the types in u, float64 (types,).

    Raises
    ------
    Refusal
        If there is not one mass for each type, or none are given and a type is not an element in `MASSES`.
    """
    if given and len(given) != len(system.names):
        raise Refusal(
            f"--masses has {len(given)} values, and the types are {' '.join(system.names)}: give one for each"
        )
    if unknown := [name for name in system.names if name not in MASSES and not given]:
        raise Refusal(
            f"the mass of type {unknown[0]!r} is not known: give --masses, one for each type, or --dynamics 0"
        )
    return np.array(given or [MASSES[name] for name in system.names])


def run(model: Any, system: System, config: Any, seed: int = 0) -> Journey:
    """Simulate some picoseconds from the first frame of a system, in its box.

    Parameters
    ----------
    model : Potential
        Network that has been trained.
    system : System
        System whose first frame is the start.
    config : Config
        Options, of which ``dynamics``, ``timestep``, ``temperature`` and ``masses`` are used.
    seed : int
        Seed of the first velocities.

    Raises
    ------
    Crowded
        If an atom gets more neighbours than there is room for, as no atom had in the data.
    """
    mass = np.repeat(masses(system, config.masses), system.counts)[:, None]
    box, positions, shape = system.boxes[0], system.positions[0].copy(), model.shape

    def pull() -> tuple[float, np.ndarray]:
        displacements, reverse = neighbours(positions, box, shape.counts, shape.room, shape.cutoff)
        found = model.predict_on_batch({"displacements": displacements[None], "reverse": reverse[None]})
        return float(found["energy"][0]), np.asarray(found["force"][0], np.float64)

    def temperature() -> float:
        return float((mass * velocities**2).sum() / ACCELERATION / (3 * len(mass) - 3) / BOLTZMANN)

    speed = np.sqrt(ACCELERATION * BOLTZMANN * config.temperature / mass)
    velocities = speed * np.random.default_rng(seed).normal(size=positions.shape)
    velocities -= (mass * velocities).sum(axis=0) / mass.sum()
    _, force = pull()
    settling, measured = (round(1000 * ps / config.timestep) for ps in (SETTLING, config.dynamics))
    rows, frames = [], []
    for step in range(settling + measured):
        velocities += 0.5 * config.timestep * ACCELERATION * force / mass
        positions += config.timestep * velocities
        energy, force = pull()
        velocities += 0.5 * config.timestep * ACCELERATION * force / mass
        if step < settling and step % EVERY == 0:
            velocities *= (config.temperature / temperature()) ** 0.5
        if step >= settling:
            kinetic = 0.5 * float((mass * velocities**2).sum()) / ACCELERATION
            rows.append(((step + 1 - settling) * config.timestep / 1000, energy + kinetic, temperature()))
            if step % EVERY == 0:
                frames.append(positions.copy())
    times, energies, temperatures = np.array(rows).T
    return Journey(times, energies, temperatures, np.array(frames))


def distances(positions: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the radial distribution g(r) of atoms of one type.

    Parameters
    ----------
    positions : ndarray, (F, n, 3)
        Positions of the atoms in each frame.
    boxes : ndarray, (F, 3, 3)
        Boxes of the frames.

    Returns
    -------
    tuple of ndarray
        r in Angstrom, up to half of the narrowest box, and g, which is 1 where as many atoms are found as in a gas.
    """
    edges = np.arange(0, width(boxes) / 2, WIDTH)
    upper = np.triu_indices(positions.shape[1], 1)
    total = np.zeros(len(edges) - 1)
    for frame, box in zip(positions, boxes):
        found, _ = np.histogram(np.linalg.norm(between(frame, box)[upper], axis=1), edges)
        shells = 4 / 3 * np.pi * np.diff(edges**3) / abs(np.linalg.det(box))
        total += found / (len(upper[0]) * shells)
    return (edges[1:] + edges[:-1]) / 2, total / len(positions)


def finish(model: Any, system: System, config: Any, figures: Path) -> dict[str, float]:
    """Run the dynamics, draw figures/molecules.png with the run's learning curve, and return the metrics.

    Parameters
    ----------
    model, system, config
        As in `run`.
    figures : Path
        Folder of the figures of the run, whose evaluations are drawn too.
    """
    if not config.dynamics:
        return {}
    begun = time.perf_counter()
    try:
        went = run(model, system, config)
    except Crowded as error:
        print(f"the dynamics ended, as {error}: train for longer, or give --timestep below {config.timestep:g}")
        return {}
    heaviest = int(np.argmax(masses(system, config.masses)))
    end, atoms = sum(system.counts[: heaviest + 1]), sum(system.counts)
    which, kind = slice(end - system.counts[heaviest], end), system.names[heaviest]
    ours = distances(went.positions[:, which], np.broadcast_to(system.boxes[0], (len(went.positions), 3, 3)))
    theirs = distances(system.positions[:, which], system.boxes)
    slope = float(np.polyfit(went.times, went.energies, 1)[0])
    name = f"{kind}{kind}".lower()
    found = {
        "drift_mev_per_atom_per_ps": 1000 * slope / atoms,
        "energy_deviation_mev_per_atom": 1000 * float(went.energies.std()) / atoms,
        "temperature_k": float(went.temperatures.mean()),
        f"{name}_peak_angstrom": float(ours[0][np.argmax(ours[1])]),
        f"{name}_peak": float(ours[1].max()),
        f"{name}_peak_of_data_angstrom": float(theirs[0][np.argmax(theirs[1])]),
        f"{name}_peak_of_data": float(theirs[1].max()),
        "dynamics_s": time.perf_counter() - begun,
    }
    _draw(figures, went, {"network": ours, "data held out": theirs}, kind, atoms)
    return found


def _draw(figures: Path, went: Journey, found: dict[str, tuple[np.ndarray, np.ndarray]], kind: str, atoms: int) -> None:
    """Draw the learning curve, the energy and g(r), if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    told = [
        (e.get("step", 0), e.get("metrics", {})) for e in RunDir(figures.parent).events() if e["event"] == "evaluated"
    ]
    figure = Figure(figsize=(13, 3.6), dpi=100, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for name, label in (("energy_rmse_mev_per_atom", "energy, meV per atom"), ("force_rmse", "force, eV/Angstrom")):
        left.semilogy([step for step, _ in told], [metrics[name] for _, metrics in told], marker=".", label=label)
    left.set(xlabel="steps", ylabel="RMSE on the system held out")
    left.legend()
    middle.plot(went.times, 1000 * (went.energies - went.energies[0]) / atoms)
    middle.set(xlabel="ps", ylabel="change of the total energy, meV per atom")
    for (label, (r, g)), style in zip(found.items(), ("-", "--")):
        right.plot(r, g, style, label=label)
    right.set(xlabel=f"distance {kind}-{kind}, Angstrom", ylabel="g(r)")
    right.legend()
    figures.mkdir(exist_ok=True)
    figure.savefig(figures / "molecules.png")


def main(argv: Sequence[str]) -> None:
    """Run the dynamics of a run's newest checkpoint, and print what was found.

    Raises
    ------
    Refusal
        If there is no such run, it has no checkpoint, or options other than `OPTIONS` are given.
    """
    from launch.node.rank import Rank
    from launch.plan import options
    from workloads.molecules import Config
    from workloads.training import checkpoints, train

    if not argv or argv[0].startswith("-"):
        raise Refusal("which run? give its folder first: python -m workloads.molecules.dynamics runs/water")
    folder = RunDir(Path(argv[0]))
    config = options.parse(Config, folder.plan().arguments, "workloads.molecules")
    given, words = options.given_with_words(Config, argv[1:], "workloads.molecules")
    options.refuse_unknown(words, Config, "workloads.molecules")
    if other := [name for name in given if name not in OPTIONS]:
        raise Refusal(f"--{other[0].replace('_', '-')} is what the run was given: give --{', --'.join(OPTIONS)} alone")
    config = dataclasses.replace(config, **given)
    train.configure(config, Rank(), 0)
    from workloads.molecules import build, systems

    model: Any = build(config, Rank()).model
    saved = checkpoints.latest(folder.checkpoints)
    if saved is None:
        raise Refusal(f"{folder.path} has no checkpoint: train first")
    for variable, value in zip(model.variables, saved.values):
        variable.assign(value)
    assert config.data
    found = finish(model, systems.split(config.data, config.held)[1], config, folder.figures)
    print("\n".join(f"{name:30} {value:.4g}" for name, value in {"step": saved.step, **found}.items()))


if __name__ == "__main__":
    errors.run(main)
