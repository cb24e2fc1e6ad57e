"""The training of a workload by one rank:   python -m workloads.training.train MODULE [WORKLOAD OPTIONS]

Started on every rank by ``launch.node.worker``. It ends with 0 when the run is done, and with 75 when it was asked to
stop and has saved a checkpoint.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from rankloop import _pulse

from launch.errors import Refusal
from launch.node import own_run, stop
from launch.node.rank import Rank, from_environment
from launch.plan import options
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from workloads.api import Training
from workloads.training import engines, scaling_rules
from workloads.training.engines.interface import Engine

if TYPE_CHECKING:
    from workloads.training.loop import Loop


def main(argv: list[str]) -> int:
    """Train a workload on this rank.

    Parameters
    ----------
    argv : list of str
        The workload's module and its options.

    Returns
    -------
    int
        Exit status: 0 done, 75 stopped with a checkpoint.

    Raises
    ------
    Refusal
        If this was not started by ``python -m launch``, or what is asked for cannot be trained.
    """
    entered = time.time()
    if pulse := _pulse.current():
        pulse.enter("start")
    if "LAUNCH_RUN" not in os.environ or not argv:
        raise Refusal("the training loop runs within a run: start it with rankloop WORKLOAD [WORKLOAD OPTIONS]")
    run, rank = RunDir(os.environ["LAUNCH_RUN"]), from_environment()
    attempt, seed = int(os.environ.get("LAUNCH_ATTEMPT", "1")), int(os.environ.get("LAUNCH_SEED", "0"))
    if not 0 <= seed < 2**32:
        raise Refusal(f"--seed {seed} cannot be used by Keras and NumPy: give a number from 0 to {2**32 - 1}")
    module = importlib.import_module(argv[0])
    config = options.parse(module.Config, argv[1:], argv[0])
    phases: dict[str, float | None] = {
        "queue": _difference(os.environ.get("LAUNCH_STARTED"), os.environ.get("LAUNCH_SUBMITTED")),
        "start": _difference(entered, os.environ.get("LAUNCH_STARTED")),
    }
    engine = configure(config, rank, seed)
    import keras

    from workloads.training import flops, staging
    from workloads.training.loop import Loop
    from workloads.training.sharding import Sharding

    imported = time.time()
    with engine.Communicator(rank, config.timeline) as communicator:
        with engine.scope(config):
            workload = built(module, config, communicator)
            sharding = Sharding(len(workload.train), config.batch, rank.size, seed, config.shards)
            steps = scaling_rules.total_steps(config.scaled_epochs(rank.size), sharding.steps_per_epoch)
            optimizer = workload.optimizer(config.learning_rate_plan(rank.size).schedule(steps))
            if config.precision == "float16":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer = communicator.averaging(optimizer, config.compress, round(config.bucket_mb * 2**20))
            optimizer.build(workload.model.trainable_variables)
            loop = Loop(engine, config, workload, optimizer, communicator, sharding, run, attempt)
        if rank.is_chief:
            publish_json(run.training_json, describe(argv[0], config, workload, sharding, steps))
        if config.stage:
            began = time.time()
            staging.stage(config.stage, workload, sharding, communicator)
            phases["stage"] = time.time() - began
        loop.restore()
        if rank.is_chief and config.tensorboard:
            shape = {"seed": seed, "ranks": rank.size, "nodes": rank.nodes}
            loop.board = board(run, loop.step, steps)
            if loop.board:
                loop.board.begin(workload, engine.graph, without_secrets(dataclasses.asdict(config)) | shape)
        phases |= {"import": imported - entered, "build": time.time() - imported - (phases.get("stage") or 0)}
        if not loop.train(steps):
            return stop.STOPPED
        metrics = loop.evaluate()
        peaks = communicator.gather(flops.peak(engine.square, keras.config.dtype_policy().compute_dtype))
    if rank.is_chief:
        if workload.finish:
            run.figures.mkdir(exist_ok=True)
            metrics |= workload.finish(workload.model, run.figures)
        if loop.board:
            loop.board.finish(loop.step, metrics, run.figures)
        if not own_run.is_replaced(run):
            publish_json(run.result_json, result(loop, metrics, phases | loop.seconds, sum(peaks)))
    return 0


def board(run: RunDir, step: int, steps: int) -> Any:
    """Return the writer for TensorBoard; None, with a line that says so, if TensorBoard is not installed."""
    try:
        from workloads.training.tensorboard import Board
    except ModuleNotFoundError as error:
        print(f"nothing is written for TensorBoard: there is no package {error.name}", flush=True)
        return None
    return Board(run.tensorboard, step, steps)


def built(module: Any, config: Training, communicator: Any) -> Any:
    """Return the workload of this rank, once all ranks have built theirs.

    Raises
    ------
    Refusal
        On every rank, if any refuses: the others would wait for a rank that has gone, and each end with a traceback.
    """
    workload, refused = None, ""
    try:
        workload = module.build(config, communicator.rank)
    except Refusal as refusal:
        refused = str(refusal)
    if refusals := [line for line in communicator.gather(refused) if line]:
        raise Refusal(refusals[0])
    return workload


def configure(config: Training, rank: Rank, seed: int) -> Engine:
    """Import the engine of the run, and set what has to be set before it is used."""
    engines.refuse_missing(config.engine, rank.size)
    engine = engines.load(engines.likely(config.engine).name)
    threads = config.threads or share_of_cores(rank, len(os.sched_getaffinity(0)), os.cpu_count() or 1)
    engine.configure(config, rank, seed, threads)
    return engine


def share_of_cores(rank: Rank, allowed: int, present: int) -> int:
    """Return how many of a node's cores a rank has.

    Parameters
    ----------
    rank : Rank
        The rank that asks.
    allowed : int
        Number of cores that this process may run on.
    present : int
        Number of cores of the node.

    Returns
    -------
    int
        All cores that are allowed if each rank was bound to cores of its own, otherwise an equal part of them.
    """
    bound = allowed * rank.local_size <= present
    return allowed if bound else max(1, allowed // rank.local_size)


def describe(module: str, config: Training, workload: Any, sharding: Any, steps: int) -> dict[str, Any]:
    """Return the content of training.json, from which the launcher tells how far a run is."""
    return {
        "workload": module,
        "steps": steps,
        "steps_per_epoch": sharding.steps_per_epoch,
        "epochs": steps / sharding.steps_per_epoch,
        "global_batch": sharding.batch * sharding.size,
        "accumulate": config.accumulate,
        "examples": sharding.examples,
        "validation_examples": len(workload.validation),
        "parameters": workload.model.count_params(),
        "gradients": gradients(workload.model, config.compress and sharding.size > 1),
        "target": workload.target,
        "plan": config.describe(sharding.size),
    }


def gradients(model: Any, compress: bool) -> list[dict[str, Any]]:
    """Return what each rank sends in a step: name and bytes of each gradient, in the order of the forward pass."""
    return [
        {
            "name": variable.path,
            "bytes": math.prod(variable.shape) * (2 if compress or variable.dtype == "float16" else 4),
        }
        for variable in model.trainable_variables
    ]


def result(loop: Loop, metrics: dict[str, float], phases: dict[str, float | None], peak: float) -> dict[str, Any]:
    """Return the content of result.json; ``peak`` is the FLOP/s of all ranks together at matrix products."""
    from workloads.training import flops

    rank, timed = loop.rank, loop.seconds["train"]
    throughput = loop.timed_steps * loop.sharding.batch * rank.size / timed if timed else None
    counted = loop.make_step.forward_flops
    per_example = None if counted is None else flops.TRAINING * counted / loop.sharding.batch
    achieved = None if per_example is None or throughput is None else per_example * throughput
    return {
        "status": "done",
        "metrics": metrics,
        "throughput_examples_per_s": throughput,
        "flops_per_example": per_example,
        "flop_per_s": achieved,
        "peak_flop_per_s": peak,
        "mfu": None if achieved is None else achieved / peak,
        "ranks": rank.size,
        "nodes": rank.nodes,
        "steps": loop.step,
        "epochs": loop.step / loop.sharding.steps_per_epoch,
        "ended_early": loop.ended_early and {"epochs": loop.ended_early[0], **loop.ended_early[1]._asdict()},
        "phases_s": {name: None if seconds is None else round(seconds, 3) for name, seconds in phases.items()},
        "ranks_agree": loop.ranks_agree,
        "versions": versions(),
        "attempts": loop.attempt,
    }


def versions() -> dict[str, str]:
    """Return the versions of what the result depends on, as far as it was imported."""
    packages = ("tensorflow", "jax", "keras", "numpy", "horovod")
    imported = {name: sys.modules[name].__version__ for name in packages if name in sys.modules}
    return {"python": platform.python_version(), **imported}


def _difference(later: float | str | None, earlier: float | str | None) -> float | None:
    return None if later is None or earlier is None else float(later) - float(earlier)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refusal as refusal:
        if "LAUNCH_RUN" in os.environ:
            raise  # launch.node.worker tells it to the launcher
        print(f"workloads.training.train: {refusal}", file=sys.stderr)
        sys.exit(2)
