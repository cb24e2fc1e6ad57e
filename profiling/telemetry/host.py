"""What the kernel tells of a node and of the ranks on it: CPU, memory, network, energy."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PART = 4096  # bytes of a file of the kernel that are read; /proc/stat and /proc/meminfo begin with what is needed


class Process:
    """A rank's process with its children.

    It is known by its open file in /proc, which a later process of the same number does not share.

    Parameters
    ----------
    pid : int
        Its number.
    root : Path
        Where /proc is; for tests.

    Raises
    ------
    OSError
        If there is no such process.
    """

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self._proc, self._pid = root / "proc", pid
        self._stat = os.open(self._proc / str(pid) / "stat", os.O_RDONLY)

    def alive(self) -> bool:
        """False once it has ended, even if nobody has fetched its exit status yet."""
        try:
            return _fields(os.pread(self._stat, _PART, 0))[0] not in (b"Z", b"X")
        except ProcessLookupError:
            return False

    def read(self) -> dict[str, int]:
        """cpu_ms and rss_bytes; nothing once it has ended."""
        try:
            found = [_fields(os.pread(self._stat, _PART, 0)), *self._children(self._pid)]
        except ProcessLookupError:
            return {}
        # Time of children that were waited for is the parent's, so that nothing is lost when one ends.
        ticks = sum(int(field) for fields in found for field in fields[11:15])
        return {"cpu_ms": ticks * _TICK_MS, "rss_bytes": sum(int(fields[21]) for fields in found) * _PAGE}

    def _children(self, pid: int) -> Iterator[list[bytes]]:
        """Of all generations that the main threads have started."""
        try:
            children = (self._proc / str(pid) / "task" / str(pid) / "children").read_bytes().split()
        except (FileNotFoundError, ProcessLookupError):  # ended, or a kernel without CONFIG_PROC_CHILDREN
            return
        for child in map(int, children):
            try:
                yield _fields((self._proc / str(child) / "stat").read_bytes())
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield from self._children(child)


class Host:
    """The node.

    Parameters
    ----------
    root : Path
        Where /proc and /sys are; for tests.

    Attributes
    ----------
    lacks : dict of str to str
        What cannot be read here, and why.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.lacks: dict[str, str] = {}
        self._stat = os.open(root / "proc/stat", os.O_RDONLY)
        self._memory = os.open(root / "proc/meminfo", os.O_RDONLY)
        self._network = os.open(root / "proc/net/dev", os.O_RDONLY)
        names = [path.name for path in (root / "sys/class/net").glob("*") if path.name != "lo"]
        # Bridges and bonds would count again what goes through the devices below them.
        self._interfaces = {n for n in names if (root / "sys/class/net" / n / "device").exists()} or set(names)
        ports = list((root / "sys/class/infiniband").glob("*/ports/*/counters"))
        self._ports = {
            f"infiniband_{to}_kib": [os.open(port / f"port_{file}_data", os.O_RDONLY) for port in ports]
            for to, file in (("tx", "xmit"), ("rx", "rcv"))
        }
        if not ports:
            self.lacks |= dict.fromkeys(self._ports, "no InfiniBand")
        self._energy = {"package_energy_mj": [], "dram_energy_mj": []}
        for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
            self._add_energy(zone)
        for name, counters in self._energy.items():
            if not counters:
                self.lacks.setdefault(name, "no RAPL")

    def read(self) -> dict[str, int]:
        """One reading, by the names of `profiling.telemetry.readings`; what cannot be read is absent."""
        user, nice, system, _, _, irq, soft, *_ = map(
            int, os.pread(self._stat, _PART, 0).split(b"\n", 1)[0].split()[1:]
        )
        values = {"host_cpu_ms": (user + nice + system + irq + soft) * _TICK_MS}
        for line in os.pread(self._memory, _PART, 0).split(b"\n"):
            if line.startswith(b"MemAvailable:"):
                values["host_available_bytes"] = int(line.split()[1]) * 1024
                break
        if self._interfaces:
            values |= self._traffic()
        for name, files in self._ports.items():
            if files:
                values[name] = (
                    sum(int(os.pread(file, _PART, 0)) for file in files) * 4 // 1024
                )  # counts words of 4 bytes
        for name, counters in self._energy.items():
            if counters:
                values[name] = sum(counter.read() for counter in counters) // 1000
        return values

    def _traffic(self) -> dict[str, int]:
        received = sent = 0
        for line in os.pread(self._network, 2**16, 0).split(b"\n")[2:-1]:
            name, _, counts = line.partition(b":")
            if name.strip().decode() in self._interfaces:
                fields = counts.split()
                received, sent = received + int(fields[0]), sent + int(fields[8])
        return {"network_tx_kib": sent // 1024, "network_rx_kib": received // 1024}

    def _add_energy(self, zone: Path) -> None:
        kind = (zone / "name").read_text().strip()
        name = {"package": "package_energy_mj", "dram": "dram_energy_mj"}.get(kind.partition("-")[0])
        if name:
            try:
                self._energy[name].append(_Energy(zone))
            except OSError as error:  # for root only, since it told what others compute (CVE-2020-8694)
                self.lacks[name] = error.strerror


class _Energy:
    """A counter of RAPL, in uJ, which goes round."""

    def __init__(self, zone: Path) -> None:
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._file = os.open(zone / "energy_uj", os.O_RDONLY)
        self._last = self._total = int(os.pread(self._file, _PART, 0))

    def read(self) -> int:
        value = int(os.pread(self._file, _PART, 0))
        self._total += (value - self._last) % self._range
        self._last = value
        return self._total


def _fields(stat: bytes) -> list[bytes]:
    """/proc/PID/stat from its third field on: the second is a name that may hold blanks and parentheses."""
    return stat[stat.rindex(b")") + 2 :].split()
