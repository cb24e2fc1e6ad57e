"""What a reader must know about numbers of GPUs: which were not believed, what time they cover, what they are of."""

from collections.abc import Collection, Sequence

from profiling import text
from profiling.telemetry.usage import Usage, cards

_SHOWN = 3  # GPUs that are named if the same is said of several


def doubts(found: Sequence[Usage], whole: Collection[str], missing: Sequence[int] = ()) -> list[str]:
    """Return lines on the GPUs of a run; what is the same for several is said once.

    Parameters
    ----------
    found : sequence of Usage
        Usage of the run's GPUs, ranks and nodes.
    whole : collection of str
        Cards that no rank holds, but of which ranks hold instances (MIG).
    missing : sequence of int
        Nodes of which not every rank's GPU was read.
    """
    gpus = cards(found)
    said: dict[str, list[str]] = {}
    for used in gpus:
        where = f"{used.device} (node {used.node}" + (f", rank {used.rank})" if used.rank is not None else ")")
        if used.power and used.power.doubt:
            said.setdefault(used.power.doubt, []).append(where)
        if used.lost:
            span = f"{text.number(used.powered_s, 3)} of {text.number(used.seconds, 3)} s"
            words = f"was read for {span}: its power is the mean of these, and its energy counts for these alone"
            said.setdefault(words, []).append(where)
    lines = [f"{', '.join(of[:_SHOWN])}{_more(len(of) - _SHOWN)}: {why}" for why, of in said.items()]
    if missing:
        some = ", ".join(map(str, missing[:_SHOWN])) + _more(len(missing) - _SHOWN)
        nodes = f"node{'s' * (len(missing) > 1)} {some}"
        lines.append(f"not every GPU of {nodes} was read over this time: power and energy of all GPUs are not known")
    of_whole = sum(used.device in whole for used in gpus)
    if of_whole:
        held = text.plural(len(gpus) - of_whole, "GPU")
        own = "; activity is that of the instances" if any("sm_activity" in used.numbers for used in gpus) else ""
        lines.append(
            f"{held} of the ranks are instances (MIG): use, power and energy are those of the "
            f"{text.plural(of_whole, 'whole card')} that they are part of, with whatever else runs there{own}"
        )
    return lines


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
