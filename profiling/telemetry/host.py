"""What the kernel reports about a node and its ranks: CPU, memory, network, energy."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PART = 4096  # bytes read of a kernel file; /proc/stat and /proc/meminfo begin with what is needed


class Process:
    """A rank's process with its children.

    It is identified by its open file in /proc, which a later process with the same number does not share.

    Parameters
    ----------
    pid : int
        Number of the process, which may have ended already.
    root : Path
        Folder in which /proc is; for tests.
    """

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self._proc, self._pid = root / "proc", pid
        self._stat = -1
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            self._stat = os.open(self._proc / str(pid) / "stat", os.O_RDONLY)

    def alive(self) -> bool:
        """Return False once the process has ended, even if its exit status has not been fetched yet."""
        try:
            return _fields(os.pread(self._stat, _PART, 0))[0] not in (b"Z", b"X")
        except OSError:
            return False

    def read(self) -> dict[str, int]:
        """Return cpu_ms and rss_bytes; nothing once the process has ended."""
        try:
            found = [_fields(os.pread(self._stat, _PART, 0)), *self._children(self._pid)]
        except OSError:
            return {}
        # The parent's time includes children that were waited for, so nothing is lost when one ends.
        ticks = sum(int(field) for fields in found for field in fields[11:15])
        return {"cpu_ms": ticks * _TICK_MS, "rss_bytes": sum(int(fields[21]) for fields in found) * _PAGE}

    def _children(self, pid: int) -> Iterator[list[bytes]]:
        """Yield the children of all generations that the main threads have started."""
        try:
            children = (self._proc / str(pid) / "task" / str(pid) / "children").read_bytes().split()
        except OSError:  # ended, or a kernel without CONFIG_PROC_CHILDREN
            return
        for child in map(int, children):
            try:
                yield _fields((self._proc / str(child) / "stat").read_bytes())
            except OSError:
                continue
            yield from self._children(child)


class Host:
    """The counters of the node.

    Parameters
    ----------
    root : Path
        Folder in which /proc and /sys are; for tests.

    Attributes
    ----------
    lacks : dict of str to str
        What cannot be read here -> why.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.lacks: dict[str, str] = {}
        self._sources: dict[tuple[str, ...], Callable[[], Sequence[int]]] = {}
        for names, source in (
            (("host_cpu_ms",), _cpu),
            (("host_available_bytes",), _memory),
            (("network_tx_kib", "network_rx_kib"), _network),
            (("infiniband_tx_kib",), lambda root: _infiniband(root, "xmit")),
            (("infiniband_rx_kib",), lambda root: _infiniband(root, "rcv")),
            (("package_energy_mj",), lambda root: _energy(root, "package")),
            (("dram_energy_mj",), lambda root: _energy(root, "dram")),
        ):
            try:
                self._sources[names] = source(root)
            except _ERRORS as error:
                self.lacks |= dict.fromkeys(names, getattr(error, "strerror", None) or str(error))

    def read(self) -> dict[str, int]:
        """Return one reading, with the names of `profiling.telemetry.readings`; what cannot be read is absent."""
        values: dict[str, int] = {}
        for names, source in self._sources.items():
            with contextlib.suppress(*_ERRORS):
                values.update(zip(names, source()))
        return values


_ERRORS = (OSError, ValueError, IndexError)
"""How reading a kernel file may fail: it is missing, may not be read, or has an unexpected form."""


def _file(path: Path, part: int = _PART) -> Callable[[], bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    return lambda: os.pread(descriptor, part, 0)


def _cpu(root: Path) -> Callable[[], Sequence[int]]:
    stat = _file(root / "proc/stat")

    def read() -> Sequence[int]:
        user, nice, system, _, _, irq, soft, *_ = map(int, stat().split(b"\n", 1)[0].split()[1:])
        return [(user + nice + system + irq + soft) * _TICK_MS]

    return read


def _memory(root: Path) -> Callable[[], Sequence[int]]:
    memory = _file(root / "proc/meminfo")
    return lambda: [int(memory().partition(b"MemAvailable:")[2].split()[0]) * 1024]


def _network(root: Path) -> Callable[[], Sequence[int]]:
    traffic = _file(root / "proc/net/dev", 2**16)
    names = [path.name for path in (root / "sys/class/net").glob("*") if path.name != "lo"]
    # Bridges and bonds would count traffic of the devices below them a second time.
    interfaces = {n for n in names if (root / "sys/class/net" / n / "device").exists()} or set(names)
    if not interfaces:
        raise ValueError("no network")

    def read() -> Sequence[int]:
        lines = (line.partition(b":") for line in traffic().split(b"\n")[2:-1])
        counts = [fields.split() for name, _, fields in lines if os.fsdecode(name.strip()) in interfaces]
        return [sum(int(of[place]) for of in counts) // 1024 for place in (8, 0)]

    return read


def _infiniband(root: Path, way: str) -> Callable[[], Sequence[int]]:
    ports = (root / "sys/class/infiniband").glob(f"*/ports/*/counters/port_{way}_data")
    files = [_file(port) for port in ports]
    if not files:
        raise ValueError("no InfiniBand")
    return lambda: [sum(int(file()) for file in files) * 4 // 1024]  # counted in words of 4 bytes


def _energy(root: Path, kind: str) -> Callable[[], Sequence[int]]:
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    counters = [_Energy(zone) for zone in zones if (zone / "name").read_text().strip().partition("-")[0] == kind]
    if not counters:
        raise ValueError("no RAPL")
    return lambda: [sum(counter.read() for counter in counters) // 1000]


class _Energy:
    """A RAPL counter in uJ, which wraps. Only root may read it, as it reveals what others compute: CVE-2020-8694."""

    def __init__(self, zone: Path) -> None:
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._file = _file(zone / "energy_uj")
        self._last = self._total = int(self._file())

    def read(self) -> int:
        value = int(self._file())
        self._total += (value - self._last) % self._range
        self._last = value
        return self._total


def _fields(stat: bytes) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third on; the second is a name that may hold blanks and brackets."""
    return stat[stat.rindex(b")") + 2 :].split()
