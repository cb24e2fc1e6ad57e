"""JAX's profiler."""

import contextlib
from pathlib import Path

import jax


def span(name: str, step: int | None = None) -> contextlib.AbstractContextManager:
    """See `engines.interface.Engine`."""
    if step is None:
        return jax.profiler.TraceAnnotation(name)
    return jax.profiler.StepTraceAnnotation(name, step_num=step)


def start_profiler(folder: Path) -> None:
    """See `engines.interface.Engine`."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # each call of a Python function would be an event
    jax.profiler.start_trace(str(folder), profiler_options=options)


def stop_profiler() -> None:
    """See `engines.interface.Engine`."""
    jax.profiler.stop_trace()
