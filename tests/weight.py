"""What a process weighs, as Linux reports it in ``/proc``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Weight:
    """What a process holds: threads, open files with sockets, and memory in MiB."""

    threads: int
    files: int
    memory: float

    @classmethod
    def of(cls, pid: int) -> "Weight":
        proc = Path("/proc") / str(pid)
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        memory = int(status["VmRSS"].split()[0]) / 1024
        return cls(int(status["Threads"]), len(list((proc / "fd").iterdir())), memory)

    def fits(self, before: "Weight") -> bool:
        """Whether it has about the threads and files of ``before``."""
        return self.threads <= before.threads + 2 and self.files <= before.files + 4
