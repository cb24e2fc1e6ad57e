"""Compares the time, cores, memory and GPUs that finished runs asked for with what they used, and gives the options for
next time.

What is not known is named. Runs that failed for a reason other than time or memory, or took less than a minute, give no
advice.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.plan import site
from launch.plan.walltime import UNLIMITED, clock, walltime
from launch.record.sizes import text as size
from launch.submit.advice import used
from launch.submit.advice.used import LEAST_S, Use

MARGIN = 1.5
"""Factor on the most time or memory that was used: the next run may meet slower nodes, and memory is read only at
moments."""

_WORTH = 0.8  # fraction of what was asked for; only the use of less than that is worth advice
_STEP_S = 300
_IDLE_READINGS = 30  # readings without a kernel before a GPU counts as unused


class Finding(NamedTuple):
    """One thing that was asked for, in words, and the options for it next time."""

    what: str
    asked: str
    used: str
    options: tuple[str, ...] = ()
    note: str = ""


def of(uses: Sequence[Use]) -> list[Finding]:
    """Return what one or more runs together asked for and used, leaving out what they did not ask for."""
    return [finding for rule in (_time, _cores, _memory, _gpus) if (finding := rule(uses))]


def _long_enough(uses: Sequence[Use]) -> list[Use]:
    return [use for use in uses if use.done and max(use.seconds) >= LEAST_S]


def _time(uses: Sequence[Use]) -> Finding | None:
    limits = [use.plan.get("time_s") for use in uses]
    asked = "no limit given" if None in limits else _limit(max(filter(None, limits), default=UNLIMITED))
    cut = [use for use in uses if use.at_limit and not use.done]
    if any(use.at_limit and use.plan.get("max_attempts", 1) > 1 for use in uses):
        times = sum(use.at_limit for use in uses)
        return Finding("time", asked, f"the limit ended {times} attempts, after which the next was to go on")
    if cut:
        longest = max(_needed(use) for use in cut)
        by_steps = any(use.needs_s for use in cut)
        note = "by the steps that it has made" if by_steps else "twice as much, as nobody knows how much is left to do"
        return Finding("time", asked, f"all: the limit ended {_runs(len(cut))}", _ask_for_time(cut[0], longest), note)
    whole = _long_enough(uses)
    if not whole:
        return Finding("time", asked, _too_short(uses))
    # A run that the limit ended and that was then continued needs the time of both.
    longest = max(sum(use.seconds) if use.at_limit else max(use.seconds) for use in whole)
    attempts = sum(len(use.seconds) for use in whole)
    said = clock(math.ceil(longest)) + f", the longest of {attempts} attempts" * (attempts > 1)
    slurm, next_s = whole[0].plan["backend"] != "local", _rounded(MARGIN * longest)
    most = max(filter(None, limits), default=0)
    unbounded = slurm and None in limits or UNLIMITED in limits
    if unbounded or most and (next_s <= _WORTH * most or longest > most):
        return Finding("time", asked, said, _ask_for_time(whole[0], next_s))
    return Finding("time", asked, said)


def _needed(use: Use) -> float:
    limit = use.plan.get("time_s") or max(use.seconds)
    return max(_rounded(MARGIN * use.needs_s) if use.needs_s else 2 * limit, limit + _STEP_S)


def _ask_for_time(use: Use, seconds: float) -> tuple[str, ...]:
    """Return the option for time, within what the partition allows."""
    most = None
    if here := _site(use):
        most = walltime(here.partitions.get(use.plan.get("partition") or "", {}).get("max_time"))
    return ("--time", clock(int(min(_rounded(seconds), most or math.inf))))


def _rounded(seconds: float) -> int:
    return _STEP_S * math.ceil(seconds / _STEP_S)


def _limit(seconds: int) -> str:
    return "unlimited" if seconds == UNLIMITED else clock(seconds)


def _cores(uses: Sequence[Use]) -> Finding | None:
    asked = max((use.plan.get("cpus_per_task") or 0 for use in uses), default=0)
    said = f"{asked}" if asked else "not asked for"
    known = [cores for use in uses if use.readings and (cores := use.readings["rank_cores"])]
    if not known:
        return Finding("cores per rank", said, _not_read(uses)) if asked else None
    busiest = max(known)
    words = f"{busiest:.2g} in the busiest half minute of any rank"
    need = max(1, math.ceil(busiest - 0.05))
    if not asked or need > _WORTH * asked or any(use.whole_node for use in uses):
        return Finding("cores per rank", said, words)
    if any(use.readings and use.readings["all_busy"] for use in uses):
        why = "all cores of the node were busy, also with others' work, so that the ranks may have waited for one"
        return Finding("cores per rank", said, words, note=why)
    here = _site(uses[0])
    ranks = max(use.plan["ranks_per_node"] for use in uses)
    if here and here.cpus_per_node and asked * ranks >= here.cpus_per_node - ranks + 1:
        return Finding("cores per rank", said, words, note="they are all that a node has: fewer would cost no less")
    return Finding("cores per rank", said, words, ("--cpus-per-task", str(need)))


def _memory(uses: Sequence[Use]) -> Finding | None:
    if uses[0].plan["backend"] == "local":
        return None  # memory cannot be asked for on this machine
    amounts = [use.asked_memory for use in uses if use.asked_memory]
    asked = f"{size(max(amounts))}" if amounts else "not known"
    own = used.asked_for_memory(uses[0].plan)
    asked += "" if own or not amounts else ", by default"
    lacking = [use for use in uses if use.out_of_memory]
    if lacking:
        had = max((use.asked_memory or 0 for use in lacking), default=0)
        options, note = _ask_for_memory(lacking[0], f"{_gibibytes(MARGIN * had)}" if had else "...")
        if not had:
            options, note = (), f"how much it had is not known: {note or f'ask for more with {options[0]}'}"
        return Finding("memory per node", asked, f"all: {_runs(len(lacking))} ran out of it", options, note)
    known = [most for use in uses if use.readings and (most := use.readings["node_memory_bytes"])]
    if not known:
        return Finding("memory per node", asked, _not_read(uses))
    most, said = max(known), f"{size(max(known))} at most"
    if not own or not amounts or any(use.whole_node for use in uses):
        return Finding("memory per node", asked, said)
    if _gibibytes(MARGIN * most) * 2**30 > _WORTH * max(amounts):
        return Finding("memory per node", asked, said)
    return Finding("memory per node", asked, said, *_ask_for_memory(uses[0], f"{_gibibytes(MARGIN * most)}"))


def _ask_for_memory(use: Use, gibibytes: str) -> tuple[tuple[str, ...], str]:
    """Return options that ask for memory, or a remark if the scheduler has no option for that."""
    if use.plan["backend"] == "pbs":
        return (), f'ask for it with chunk = {{ mem = "{gibibytes}gb" }} in the site file'
    if use.plan["backend"] == "flux":
        return (), "use more nodes, as Flux allots no memory"
    return (f"--sbatch-arg=--mem={gibibytes}G",), ""


def _gibibytes(needed: float) -> int:
    return math.ceil(needed / 2**30)


def _gpus(uses: Sequence[Use]) -> Finding | None:
    asked = max(use.plan.get("gpus_per_node", 0) for use in uses)
    if not asked:
        return None
    if why := next((why for use in uses if use.readings and (why := use.readings["unreadable"])), ""):
        return Finding("GPUs per node", str(asked), f"not known: {why}")
    read = [gpus for use in uses if (gpus := _cards(use))]
    if not read:
        return Finding("GPUs per node", str(asked), _not_read(uses))
    if any(gpu["utilization"] is None for gpus in read for gpu in gpus):
        return Finding("GPUs per node", str(asked), "not known: a GPU does not say how busy it is")
    busy = max(map(_busy, read))
    idle = sorted({_name(gpu) for gpus in read for gpu in gpus if _is_idle(gpu)})
    held = max(sum(gpu["node"] == 0 for gpu in gpus) for gpus in read)
    words = f"{busy}" + f", {asked - held} held by no rank" * (held < asked)
    if idle:
        words += f"; no kernel in any reading of {', '.join(idle[:4])}{' ...' * (len(idle) > 4)}"
    ranks = max(use.plan["ranks_per_node"] for use in uses)
    need = busy if busy == 0 else max(busy, ranks)  # a rank keeps a GPU even if it idles
    kind = uses[0].plan.get("gpu_type")
    if need >= asked:
        return Finding("GPUs per node", str(asked), words)
    note = "a partition without GPUs would do" if need == 0 else ""
    return Finding(
        "GPUs per node", str(asked), words, ("--gpus-per-node", f"{kind}:{need}" if kind and need else str(need)), note
    )


def _cards(use: Use) -> list[dict[str, Any]]:
    return use.readings["gpus"] if use.readings else []


def _busy(gpus: Sequence[dict[str, Any]]) -> int:
    """Return the number of GPUs in use on the node that uses the most."""
    nodes = [gpu["node"] for gpu in gpus if not _is_idle(gpu)]
    return max(map(nodes.count, nodes), default=0)


def _is_idle(gpu: dict[str, Any]) -> bool:
    return gpu["utilization"] == 0 and gpu["readings"] >= _IDLE_READINGS


def _name(gpu: dict[str, Any]) -> str:
    return f"rank {gpu['rank']}'s" if gpu["rank"] is not None else f"{gpu['device']} on node {gpu['node']}"


def _not_read(uses: Sequence[Use]) -> str:
    if not _long_enough(uses):
        return _too_short(uses)
    if not any(use.plan.get("sample_hz", 1) for use in uses):
        return "not known: no readings were kept (--sample-hz 0)"
    return "not known: it was not read"


def _too_short(uses: Sequence[Use]) -> str:
    if any(use.done for use in uses):
        return f"not known: what is done took less than {LEAST_S:.0f} s"
    return "not known: nothing is done"


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count > 1)}"


def _site(use: Use) -> site.Site | None:
    try:
        return site.load(use.plan.get("site_file") or use.plan.get("site") or "")
    except Refusal:  # it is not here any more
        return None
