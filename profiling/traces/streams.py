"""What runs on the streams of a GPU: kernels that compute, collectives, copies; by the names of all vendors."""

import re
from collections.abc import Iterable, Sequence

from profiling.traces.xplane import GPU, Event, Line

# The libraries of collectives; the name spaces of PyTorch in which all operations move data; the operations of XLA,
# with what JAX calls them.
_COLLECTIVE = re.compile(
    r"(nccl|rccl|oneccl|msccl|mscclpp|horovod"
    r"|(gloo|mpi|ucc|xccl|hccl|_?c10d(_functional)?)::?|record_param_comms"
    r"|all[-_]?(reduce|gather|to[-_]?all)|reduce[-_]?scatter|collective[-_]|psum|pmean|ppermute)",
    re.IGNORECASE,
)
# MemcpyH2D and Memcpy HtoD (Pageable -> Device) of CUDA, CopyHostToDevice of HIP; its kernel __amd_rocclr_copyBuffer.
_COPY = re.compile(
    r"(memcpy|memset|copy(host|device|peer|buffer)|__amd_rocclr_(copy|fill)|hipmemcpy|fillbuffer)", re.IGNORECASE
)
_WAY = re.compile(r"(h)(?:ost)?(?:2|to)d|(?:d)(?:evice)?(?:2|to)[hd]|p2p|peer", re.IGNORECASE)
_ONLY_COPIES = re.compile(r"[^(]*\(((Memcpy\w*|Memset)(,\s*)?)+\)")


def streams(lines: Iterable[Line]) -> list[Line]:
    """Return the streams of all GPUs."""
    return [line for line in lines if line.plane.startswith(GPU) and line.name.startswith("Stream")]


def is_collective(event: Event) -> bool:
    """Return whether a kernel moves data between ranks."""
    return bool(_COLLECTIVE.match(event.name))


def is_copy(event: Event, line: Line) -> bool:
    """Return whether an event of a stream copies or fills memory and computes nothing: by its name, or by the kinds
    that the name of the stream holds."""
    return bool(_COPY.match(event.name) or _ONLY_COPIES.fullmatch(line.name))


def is_to_device(event: Event, line: Line) -> bool:
    """Return whether a copy comes from the host: by its name, else by the kind that the name of its stream holds."""
    for name in (event.name, line.name):
        if found := _WAY.search(name):
            return found[1] is not None
    return False


def computing(lines: Sequence[Line]) -> list[Event]:
    """Return the kernels of some streams that compute."""
    return [event for line in lines for event in line.events if not (is_collective(event) or is_copy(event, line))]


def to_device(lines: Sequence[Line]) -> list[Event]:
    """Return the copies from the host on some streams."""
    return [event for line in lines for event in line.events if is_copy(event, line) and is_to_device(event, line)]


def collectives(lines: Sequence[Line]) -> list[Event]:
    """Return the collectives on some streams."""
    return [event for line in lines for event in line.events if is_collective(event)]
