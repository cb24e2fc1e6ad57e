"""Reservoirs side by side predict a chaotic field:   python -m workloads.chaos [OPTIONS]"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rankloop

from launch import errors
from launch.errors import Refusal
from launch.plan import option_help, options
from launch.plan.typed import Bounds, Count, Natural, NotNegative, Positive

if TYPE_CHECKING:
    from workloads.chaos.forecast import Forecast

GAP = 500  # steps between the part of the series that is learned from and the first forecast

CHAOS = 2e-3  # per time unit: a smaller exponent cannot be told from 0 by measuring it


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the program; the defaults are one reservoir for a short ring."""

    length: Positive = 22.0  # of the ring
    points: Annotated[int, Bounds(8)] = 64  # on it
    groups: Count = 1  # of neighbouring points, of one size, each with a reservoir
    overlap: Natural = 6  # points of each neighbour that a reservoir sees too; those of a single one are none
    per_rank: bool = False  # length, points and groups are those of each rank: for weak scaling
    dt: Positive = 0.25  # time units of a step
    train: Annotated[int, Bounds(200)] = 20_000  # steps of the series to learn from
    units: Annotated[int, Bounds(2)] = 5_000  # of a reservoir
    degree: Positive = 3.0  # connections to a unit, on average
    radius: Positive = 0.1  # spectral radius of the connections
    inputs: Positive = 0.25  # largest weight of an input
    ridge: Positive = 1e-7  # penalty of the regression
    alike: bool = False  # all groups learn one regression, as the equation is the same everywhere
    starts: Count = 30  # forecasts, from starts along the series
    forecast: Annotated[float, Bounds(1)] = 12.0  # Lyapunov times of each
    apart: Positive = 2.0  # Lyapunov times between their starts
    threshold: Positive = 0.4  # of the error over the field's deviation, up to which a forecast is valid
    seed: Natural = field(
        default_factory=lambda: int(os.environ.get("LAUNCH_SEED", "0"))
    )  # of the network and the series; not given: that of the job
    exponent: NotNegative = 0.0  # per time unit, the largest Lyapunov exponent, as 0.09; 0: it is measured


def main(argv: Sequence[str]) -> None:
    """Fit the reservoirs, and measure for how long they predict.

    Raises
    ------
    Refusal
        If a package is missing, or options have wrong values or do not fit together.
    """
    if {"-h", "--help"} & set(argv):
        print(f"{__doc__}\n\n{option_help.describe(Options)}")
        return
    args = options.parse(Options, argv, "workloads.chaos")
    if args.per_rank:
        size = rankloop.size
        args = replace(args, length=args.length * size, points=args.points * size, groups=args.groups * size)
    _refuse_misfits(args, rankloop.size)
    try:
        from workloads.chaos import forecast
    except ImportError as error:
        raise Refusal(f"{sys.executable} has no {error.name}: pip install scipy") from None
    with _ring() as ring:
        made, exponent, seconds = _forecast(args, ring)
    if rankloop.rank == 0:
        valid = made.valid_steps(args.threshold) * args.dt * exponent[0]
        figures = {
            "valid_lyapunov_times": float(valid.mean()),
            "valid_lyapunov_times_deviation": float(valid.std()),
            "error_after_half": float(made.errors[round(0.5 / exponent[0] / args.dt)].mean()),
            "starts_valid_to_the_end": int((made.valid_steps(args.threshold) == len(made.errors)).sum()),
            "lyapunov_exponent": exponent[0],
            "lyapunov_exponent_error": exponent[1],
            **seconds,
        }
        rankloop.result(**figures)
        print("\n".join(f"{name:32} {value:.6g}" for name, value in figures.items()), flush=True)
        if "LAUNCH_RUN" in os.environ:
            path = Path(os.environ["LAUNCH_RUN"], "figures", "chaos.png")
            forecast.draw(path, made, args.length, args.dt * exponent[0], float(valid[0]))


def _refuse_misfits(args: Options, size: int) -> None:
    if args.points % args.groups:
        raise Refusal(f"--points {args.points} cannot be divided among {args.groups} groups: give a multiple")
    if args.groups % size:
        raise Refusal(f"--groups {args.groups} cannot be shared by {size} ranks: give a multiple of {size}")
    if args.groups > 1 and args.overlap > args.points // size:
        raise Refusal(f"--overlap {args.overlap} is more than the {args.points // size} points of a rank: give less")
    if args.groups > 1 and args.points // args.groups + 2 * args.overlap > args.points:
        raise Refusal(f"--overlap {args.overlap} reaches round the whole ring of {args.points} points: give less")
    if args.train <= 2 * (inputs := args.points // args.groups + 2 * args.overlap * (args.groups > 1)):
        raise Refusal(f"--train {args.train} steps are too few for {inputs} inputs: give more")


@contextlib.contextmanager
def _ring() -> Iterator[Any]:
    """Yield the communicator by which the ranks exchange their edges; None if there is only one rank."""
    if rankloop.size == 1:
        yield None
        return
    try:
        from mpi4py import MPI
    except ImportError:
        raise Refusal(f"{sys.executable} has no mpi4py, which several ranks need: see docs/install.md") from None
    world = MPI.COMM_WORLD
    if world.size != rankloop.size:
        raise Refusal(f"MPI knows of {world.size} ranks, and {rankloop.size} were started: give --rendezvous mpi")
    try:
        yield world
    except Refusal:
        raise  # all ranks raise it, as they compute the same
    except BaseException:
        traceback.print_exc()
        world.Abort(1)  # the other ranks would wait for this one


def _forecast(args: Options, ring: Any) -> tuple[Forecast, tuple[float, float], dict[str, float]]:
    """Return all forecasts, the Lyapunov exponent with its error, and the seconds of each phase."""
    import numpy as np

    from workloads.chaos.equation import Equation
    from workloads.chaos.forecast import Part, predict
    from workloads.chaos.reservoir import Reservoir, ridge

    begun = time.perf_counter()
    equation = Equation(args.length, args.points, args.dt)
    unstable = Refusal(f"the equation is unstable at --dt {args.dt:g} on {args.points} points: give a smaller --dt")
    with rankloop.phase("the equation"):
        exponent = (args.exponent, 0.0) if args.exponent else equation.exponent(args.seed + 1)
        if not np.isfinite(exponent[0]):
            raise unstable
        if exponent[0] < CHAOS:
            raise Refusal(f"a ring of length {args.length:g} has no chaos (exponent {exponent[0]:.3g}): give more")
        steps, apart = (max(1, round(n / exponent[0] / args.dt)) for n in (args.forecast, args.apart))
        starts = args.train + GAP + apart * np.arange(args.starts)
        series = equation.series(int(starts[-1]) + steps + 1, args.seed)
    if not np.isfinite(series).all():
        raise unstable
    done = {"equation_s": time.perf_counter() - begun}
    part = Part(ring, args.points, args.groups, args.overlap)
    reservoir = Reservoir(args.units, part.inputs, args.degree, args.radius, args.inputs, args.seed)
    begun = time.perf_counter()
    with rankloop.phase("regression"):
        weights, sums = [], None
        for group in part.groups:
            products = reservoir.products(*part.learned(series[: args.train + 1], group))
            if not args.alike:
                weights.append(ridge(*products, args.ridge))
            elif sums is None:
                sums = products
            else:
                for total, more in zip(sums, products):
                    total += more
            print(f"group {group + 1} of {args.groups}", flush=True)
        if sums is not None:
            for total in sums:
                part.add_up(total)
            weights = [ridge(*sums, args.ridge)] * len(part.groups)
    done["regression_s"] = time.perf_counter() - begun
    begun = time.perf_counter()
    made = predict(reservoir, np.array(weights), part, series, starts, steps)
    return made, exponent, done | {"forecast_s": time.perf_counter() - begun}


if __name__ == "__main__":
    errors.run(main)
