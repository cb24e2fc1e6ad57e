"""Positions of atoms -> their energy and forces, by Deep Potential, smooth edition.

    python -m launch workloads.molecules --data water
    python -m launch --nodes 2 workloads.molecules --data water --held data_3 --engine jax

It learns from all systems of a folder but one, and ends with the errors of energy (meV per atom) and force
(eV/Angstrom) on that one, with a piece of molecular dynamics by the network, how much the energy drifts in it, and
figures/molecules.png. See docs/workloads/molecules.md.

Data: a folder of two or more systems in DeePMD-kit's layout, of the same atoms in periodic boxes
Time: 40 min for 192 atoms and 320 frames
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.errors import Refusal
from launch.plan.typed import Count, NotNegative, Positive
from workloads.api import Data, Part, Training, Workload

if TYPE_CHECKING:
    import keras
    import numpy as np

    from launch.node.rank import Rank
    from workloads.molecules.systems import System

Widths = tuple[Count, ...]

EVERY = 10  # steps of the dynamics between two frames whose distances are counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are a recipe for some hundred frames; a network of the published size takes some days."""

    epochs: Positive = 200  # passes over the training set at one rank
    batch: Count = 1  # frames per rank per step
    lr: Positive = 2e-3  # learning rate of Adam at one rank
    lr_scaling: Literal["linear", "sqrt", "none"] = "sqrt"  # how the learning rate grows with the number of ranks
    warmup: Part = 0.0  # part of the steps in which the learning rate rises to its scaled value
    evaluate_every: NotNegative = 10  # epochs between evaluations; 0: only at the end
    data: Path | None = None  # folder of two or more systems in DeePMD-kit's layout
    held: str = ""  # the system that is measured on; not given: the last one
    cutoff: Positive = 5.0  # Angstrom within which atoms are neighbours
    smooth: NotNegative = 0.5  # Angstrom from which on the weight of a neighbour falls, to 0 at the cutoff
    embedding: Widths = field(default=(8, 16, 32), metadata={"separator": ","})  # units of a neighbour's network
    fitting: Widths = field(default=(64, 64, 64), metadata={"separator": ","})  # units of an atom's network
    axes: Count = 8  # columns of the embedding that the others are multiplied by
    energy_first: NotNegative = 0.02  # weight of the energy in the loss at the first step; it follows the learning rate
    energy_last: NotNegative = 1.0  # at the last one
    force_first: NotNegative = 1000.0  # weight of the forces at the first step
    force_last: NotNegative = 1.0  # at the last one
    dynamics: NotNegative = 1.0  # ps of molecular dynamics after the training; 0: none
    timestep: Positive = 0.5  # fs of the dynamics
    temperature: Positive = 330.0  # K at which they begin
    masses: tuple[Positive, ...] = field(
        default=(), metadata={"separator": ","}
    )  # u, of the types in alphabetical order; not given: those of the elements

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        if self.smooth >= self.cutoff:
            raise Refusal(f"--smooth {self.smooth:g} is not below --cutoff {self.cutoff:g}: give less")
        if self.axes > self.embedding[-1]:
            raise Refusal(f"--axes {self.axes} is more than the last of --embedding, {self.embedding[-1]}: give less")
        if self.precision != "float32":
            raise Refusal(f"--precision {self.precision} is too coarse for forces: leave it out")
        if 0 < self.dynamics < (least := EVERY * self.timestep / 1000):
            raise Refusal(
                f"--dynamics {self.dynamics:g} is less than {EVERY} steps of --timestep {self.timestep:g}: "
                f"give {least:g} or more, or 0 for none"
            )

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network and data.

        Raises
        ------
        Refusal
            If there are no data, or for the same reasons as `Training.describe`.
        """
        if not self.data:
            raise Refusal(
                "workloads.molecules learns from files: give --data FOLDER, of systems in DeePMD-kit's layout"
            )
        widths = [" ".join(map(str, each)) for each in (self.embedding, self.fitting)]
        return Training.describe(self, size) | {
            "network": f"embedding {widths[0]}, fitting {widths[1]}, {self.axes} axes, cutoff {self.cutoff:g} Angstrom",
            "data": f"{self.data}, measured on {self.held or 'the last system'}",
        }


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the frames.

    Raises
    ------
    Refusal
        If the data are damaged, or the cutoff is too large for them.
    """
    import keras
    import numpy as np
    from keras import ops

    from workloads.molecules import dynamics, systems
    from workloads.molecules.network import Potential, Shape

    config.describe(rank.size)
    assert config.data
    train, held = systems.split(config.data, config.held)
    for system in (train, held):
        systems.refuse_small(system, config.cutoff)
    rooms = [systems.room(system, config.cutoff) for system in (train, held)]
    room = tuple(map(max, *rooms))
    if config.dynamics:
        dynamics.masses(train, config.masses)
    mean = float(train.energies.mean())  # all systems have the same atoms
    atoms = sum(train.counts)

    def part(system: System) -> Data:
        near = [systems.neighbours(*each, system.counts, room, config.cutoff) for each in zip(system[3], system[2])]
        displacements, reverse = (np.stack(each) for each in zip(*near))
        energies = (system.energies - mean).astype(np.float32)

        def load(index: np.ndarray) -> tuple[Any, Any]:
            return {"displacements": displacements[index], "reverse": reverse[index]}, {
                "energy": energies[index],
                "force": system.forces[index],
            }

        return Data(len(displacements), load)

    data = part(train)
    shape = Shape(train.counts, room, config.cutoff, config.smooth, config.embedding, config.fitting, config.axes)
    model = Potential(shape, data.load(np.arange(min(10, len(data))))[0]["displacements"])
    peak = config.learning_rate_plan(rank.size).peak  # pyright: ignore[reportAttributeAccessIssue]
    rates: list[Any] = []

    def optimizer(rate: Any) -> keras.optimizers.Optimizer:
        rates.append(rate)
        return keras.optimizers.Adam(rate)

    def errors(actual: Any, predicted: Any) -> tuple[Any, Any]:
        """Return each frame's squared error of the energy, (eV)^2, and mean squared error of the forces, (batch,)."""
        return (predicted["energy"] - actual["energy"]) ** 2, ops.mean(
            (predicted["force"] - actual["force"]) ** 2, axis=(1, 2)
        )

    def loss(actual: Any, predicted: Any) -> Any:
        energy, force = errors(actual, predicted)
        left: Any = ops.cast(rates[-1](predicted["steps"] // config.accumulate) / peak, "float32")
        of_energy = config.energy_last + (config.energy_first - config.energy_last) * left
        of_force = config.force_last + (config.force_first - config.force_last) * left
        return of_energy * energy / atoms + of_force * force

    def statistics(actual: Any, predicted: Any) -> dict[str, Any]:
        energy, force = errors(actual, predicted)
        return {"energy": ops.sum(energy), "force": ops.sum(force)}

    def summarise(totals: dict[str, Any], examples: int) -> dict[str, float]:
        energy, force = ((float(totals[name]) / examples) ** 0.5 for name in ("energy", "force"))
        return {"energy_rmse_mev_per_atom": 1000 * energy / atoms, "force_rmse": force}

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        return dynamics.finish(model, held, config, figures)

    return Workload(
        model=model,
        loss=loss,
        optimizer=optimizer,
        train=data,
        validation=part(held),
        statistics=statistics,
        summarise=summarise,
        finish=finish,
        target=("force_rmse", "<=", 0.08),
    )
