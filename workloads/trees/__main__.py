"""Gradient-boosted trees by XGBoost on all ranks:   python -m workloads.trees [OPTIONS]"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rankloop

from launch import errors
from launch.errors import Refusal
from launch.node.rank import from_environment
from launch.plan import option_help, options
from launch.plan.typed import Bounds, Count, Natural, NotNegative, Positive
from workloads.training.train import share_of_cores

if TYPE_CHECKING:
    from workloads.trees.rows import Share

SAVE_EVERY_S = 300
PATIENCE_S = 300  # that a rank waits for the others to connect, and for each message


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the program; those that XGBoost has too have its defaults."""

    data: Path | None = None  # csv file with a header, all numbers; not given: Friedman's first function, generated
    target: str = ""  # column of the file to predict; not given: the last one
    rows: Annotated[int, Bounds(1, 2**40)] = 100_000  # generated, to learn from
    per_rank: bool = False  # --rows are those of each rank: for weak scaling
    seed: Natural = field(
        default_factory=lambda: int(os.environ.get("LAUNCH_SEED", "0"))
    )  # of the generated rows, or of the choice of the test rows; not given: that of the job
    rounds: Count = 100  # of boosting, each a tree and a step
    depth: Annotated[int, Bounds(1, 16)] = 6  # of a tree at most
    eta: Positive = 0.3  # learning rate
    l2: NotNegative = 1.0  # penalty on the values of leaves
    bins: Annotated[int, Bounds(2, 65536)] = 256  # of a histogram at most
    evaluate_every: Count = 10  # rounds between evaluations
    threads: Natural = 0  # of a rank; 0: its share of the node's cores
    compare: bool = False  # then let rank 0 alone grow as many trees by scikit-learn, from all rows


def main(argv: Sequence[str]) -> int:
    """Grow the trees, and measure them; return the exit status.

    Raises
    ------
    Refusal
        If XGBoost is not installed, an option has a wrong value, or the data are damaged or too few.
    """
    if {"-h", "--help"} & set(argv):
        print(f"{__doc__}\n\n{option_help.describe(Options)}")
        return 0
    args = options.parse(Options, argv, "workloads.trees")
    try:
        import xgboost
        from xgboost import collective
    except ImportError:
        raise Refusal(f"{sys.executable} has no XGBoost: pip install xgboost-cpu") from None
    if args.compare and not importlib.util.find_spec("sklearn"):
        raise Refusal(f"{sys.executable} has no scikit-learn: leave out --compare, or pip install scikit-learn")
    import numpy as np

    from workloads.trees import rows

    rank, size = rankloop.rank, rankloop.size
    if args.data:
        share = rows.of_file(args.data, args.target, args.seed, rank, size)
    else:
        share = rows.of_function(args.rows * (size if args.per_rank else 1), args.seed, rank, size)
    threads = args.threads or share_of_cores(from_environment(), len(os.sched_getaffinity(0)), os.cpu_count() or 1)
    settings = {"objective": "reg:squarederror", "tree_method": "hist", "nthread": threads, "seed": args.seed}
    settings |= {"max_depth": args.depth, "eta": args.eta, "lambda": args.l2, "max_bin": args.bins}
    # All ranks divide the columns at the same quantiles, found before they know of each other, so that the trees do not
    # depend on the number of ranks.
    edges = xgboost.QuantileDMatrix(*share.first, max_bin=args.bins, nthread=threads)
    with _meeting(rank, size):
        train = xgboost.QuantileDMatrix(*share.mine, ref=edges, max_bin=args.bins, nthread=threads)
        test = xgboost.DMatrix(share.test.inputs, nthread=threads)

        def error() -> float:
            squares = np.sum((booster.predict(test).astype(np.float64) - share.test.targets) ** 2)
            whole = collective.allreduce(np.array([squares, len(share.test.targets)]), collective.Op.SUM)
            return float((whole[0] / whole[1]) ** 0.5)

        saved = rankloop.checkpoints / "model.ubj"
        kept = collective.broadcast(saved.read_bytes() if rank == 0 and saved.is_file() else b"", 0)
        booster = xgboost.Booster(settings, [train], model_file=bytearray(kept) if kept else None)
        curve, saved_at = [], time.monotonic()
        for number in range(booster.num_boosted_rounds() + 1, args.rounds + 1):
            with rankloop.step(examples=len(share.mine.targets), number=number):
                booster.update(train, number - 1)
            asked = np.array([rankloop.stop_requested(), time.monotonic() - saved_at > SAVE_EVERY_S], np.int32)
            stop, save = collective.allreduce(asked, collective.Op.MAX)
            if save or stop or number == args.rounds:
                saved_at = time.monotonic()
                if rank == 0:
                    _save(booster, saved)
            if stop and number < args.rounds:
                return rankloop.STOPPED
            if number % args.evaluate_every == 0 or number == args.rounds:
                with rankloop.phase("evaluate"):
                    curve.append((number, error()))
                if rank == 0:
                    print(f"round {number} of {args.rounds}: RMSE {curve[-1][1]:.6g}", flush=True)
        reached = error()
    if rank == 0:
        figures = {"rmse": reached, "rows": share.total, "rounds": booster.num_boosted_rounds()}
        if args.compare:
            figures |= _compared(args, share, threads)
        rankloop.result(**figures)
        print("  ".join(f"{name} {value:.6g}" for name, value in figures.items()))
        if "LAUNCH_RUN" in os.environ and curve:
            _draw(Path(os.environ["LAUNCH_RUN"], "figures", "learning.png"), curve, figures)
    return 0


@contextlib.contextmanager
def _meeting(rank: int, size: int) -> Iterator[None]:
    """Let XGBoost add up the histograms of all ranks within the block. Rank 0 has the tracker where they meet."""
    from xgboost import collective
    from xgboost.tracker import RabitTracker

    if size == 1:
        yield
        return
    address = socket.getaddrinfo(os.environ["MASTER_ADDR"], None, type=socket.SOCK_STREAM)[0][4][0]
    port = int(os.environ["MASTER_PORT"])
    tracker = None
    if rank == 0:
        tracker = RabitTracker(size, str(address), port, sortby="task", timeout=PATIENCE_S)
        tracker.start()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"[^$]*(Failed to connect|Retrying connection)"
        )  # as long as rank 0 is not up
        context = collective.CommunicatorContext(
            dmlc_tracker_uri=str(address),
            dmlc_tracker_port=port,
            dmlc_task_id=f"{rank:08}",
            dmlc_retry=100,
            dmlc_timeout=PATIENCE_S,
        )
        context.__enter__()
    # After an error the context is left without finalize(), which would wait for the other ranks.
    yield
    context.__exit__()
    if tracker:
        tracker.wait_for(PATIENCE_S)  # the other ranks sign off at the tracker, which must still be there


def _save(booster: Any, path: Path) -> None:
    """Write the model, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(booster.save_raw("ubj"))
    new.replace(path)


def _compared(args: Options, share: Share, threads: int) -> dict[str, float]:
    """Return RMSE and seconds of scikit-learn's histogram boosting with the same settings, on this rank alone."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    from workloads.trees import rows

    if args.data:
        whole = rows.of_file(args.data, args.target, args.seed, 0, 1)
    else:
        whole = rows.of_function(share.total, args.seed, 0, 1)
    settings: dict[str, Any] = {"max_iter": args.rounds, "learning_rate": args.eta, "max_depth": args.depth}
    settings |= {"max_leaf_nodes": None, "min_samples_leaf": 1, "l2_regularization": args.l2, "early_stopping": False}
    begun = time.perf_counter()
    other = HistGradientBoostingRegressor(max_bins=min(args.bins, 255), **settings)
    with threadpool_limits(threads):
        predicted = other.fit(*whole.mine).predict(whole.test.inputs)
    seconds = time.perf_counter() - begun
    return {
        "rmse_sklearn": float(np.sqrt(np.mean((predicted - whole.test.targets) ** 2))),
        "seconds_sklearn": seconds,
    }


def _draw(path: Path, curve: list[tuple[int, float]], figures: dict[str, float]) -> None:
    """Draw the RMSE on the test rows against the rounds, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(5.5, 3.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*curve), marker=".", label="XGBoost")
    if "rmse_sklearn" in figures:
        axes.axhline(
            figures["rmse_sklearn"], color="tab:orange", linestyle="--", label="scikit-learn, after all rounds"
        )
    axes.set(xlabel="rounds of boosting", ylabel="RMSE on the test rows")
    axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    errors.run(main)
