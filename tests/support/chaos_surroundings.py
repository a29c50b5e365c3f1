"""What surrounds a trial of the chaos campaign: disks that fill, clocks that step, ports, files."""

import resource
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from loadtests.processes import listeners
from tests.support.brownout_runs import Invocation, marked

ROOM = 32 << 20  # bytes of the disk that fills
FILLER = "filler"  # the file that fills it
PIDS = 4194304  # as in chaos_clock.c


def compile_clock(folder: Path) -> Path | None:
    """Build the library that steps clocks; None where there is no compiler."""
    library = folder / "clock.so"
    source = Path(__file__).with_name("chaos_clock.c")
    compiler = shutil.which("cc")
    if not library.exists() and compiler:
        flags = ["-shared", "-fPIC", "-O2", "-Wno-nonnull-compare"]
        subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return library if library.exists() else None


def clock(folder: Path) -> dict[str, str]:
    library = compile_clock(folder)
    assert library, "no C compiler: clocks cannot be stepped"
    with (folder / "steps").open("wb") as steps:
        steps.truncate(4 * PIDS)
    return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(folder / "steps")}


@contextmanager
def disk(path: Path, wanted: bool) -> Iterator[None]:
    """A small file system at the path, where it is wanted and may be mounted. Files are kept."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "chaos", str(path)]
    here = wanted and shutil.which("mount")
    if not here or subprocess.run(mount, capture_output=True).returncode:
        yield
        return
    kept = path.with_name("kept")
    try:
        yield
        (path / FILLER).unlink(missing_ok=True)
        shutil.copytree(path, kept)
    finally:
        subprocess.run(["umount", str(path)], check=True)
    path.rmdir()
    kept.rename(path)


def fill(path: Path, controllers: list[psutil.Process]) -> None:
    """Fill the file system at the path; where none could be mounted, files cannot grow any more."""
    if path.is_mount():
        with suppress(OSError), (path / FILLER).open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)
    for process in [] if path.is_mount() else controllers:
        with suppress(psutil.Error):
            process.rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def temporary(folder: Path) -> list[Path]:
    """Files that should have been removed."""
    runs = (folder / "runs").rglob("*")
    drafts = [path for path in runs if path.name.startswith(".") or path.suffix == ".pid"]
    return [*(folder / "tmp").rglob("*"), *drafts]


class Listeners:
    """The listening sockets of a command."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._ours: dict[str, int] = {}  # inode -> port

    def look(self) -> None:
        listening = _listening()
        for process in marked(self._invocation.mark):
            for inode in listeners.open_sockets(process.pid) & listening.keys():
                self._ours[inode] = listening[inode]

    def left(self) -> list[int]:
        """Ports that are still open."""
        listening = _listening()
        return [port for inode, port in self._ours.items() if inode in listening]


def _listening() -> dict[str, int]:
    """inode -> port of all listening TCP sockets: proc_net_tcp(5)."""
    found = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
                parts = line.split()
                if parts[3] == "0A":
                    found[parts[9]] = int(parts[1].rpartition(":")[2], 16)
    return found


def step(folder: Path, pid: int, seconds: int) -> None:
    """Step the clock of one process, which was started with `clock`."""
    with (folder / "steps").open("r+b") as steps:
        steps.seek(4 * pid)
        steps.write(struct.pack("=i", seconds))
