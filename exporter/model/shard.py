"""Which of several exporters watches a job: rendezvous hashing of its identity.

Every job is in exactly one shard, and when one shard is added or removed only the jobs of that shard
move. (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.)
"""

import re
from dataclasses import dataclass
from hashlib import blake2b

MAX_SHARDS = 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` exporters that share a config."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_SHARDS:
            raise ValueError(f"the number of shards must be from 1 to {MAX_SHARDS}")
        if not 0 <= self.index < self.count:
            raise ValueError(f"the shard must be from 0 to {self.count - 1}: there are {self.count}")

    def owns(self, system: str, job_id: str) -> bool:
        """Whether this shard watches the job."""
        if self.count == 1:
            return True
        identity = f"{system}/{job_id}".encode()
        return max(range(self.count), key=lambda index: _weight(index, identity)) == self.index


def _weight(index: int, identity: bytes) -> bytes:
    return blake2b(identity, digest_size=8, salt=index.to_bytes(8, "big")).digest()


def ordinal(host: str) -> int:
    """The number at the end of a host name, as a Kubernetes StatefulSet gives it to each of its pods.

    Raises:
        ValueError: there is none.
    """
    match = re.fullmatch(r".*-(\d{1,6})", host.partition(".")[0])
    if match is None:
        raise ValueError(
            f"the host name {host} does not end in -NUMBER, so the shard cannot be derived from it"
        )
    return int(match[1])
