"""Which of several exporters watches a job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.shard import Shard, ordinal

JOBS = [("system", f"job-{number}") for number in range(1000)]


def owner(count: int, job: tuple[str, str]) -> int:
    (index,) = (index for index in range(count) if Shard(index, count).owns(*job))
    return index


@given(st.integers(1, 9), st.text(max_size=9), st.text(max_size=9))
def test_every_job_is_in_exactly_one_shard(count: int, system: str, job_id: str) -> None:
    encodable = system.encode(errors="replace").decode(), job_id.encode(errors="replace").decode()
    owner(count, encodable)


def test_shards_are_of_similar_size() -> None:
    sizes = [sum(owner(5, job) == index for job in JOBS) for index in range(5)]
    assert all(150 < size < 250 for size in sizes)


def test_when_a_shard_is_added_only_its_own_jobs_move() -> None:
    before, after = [owner(4, job) for job in JOBS], [owner(5, job) for job in JOBS]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {4}
    assert 150 < len(moved) < 250


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (1, 1), (0, 0), (0, 1025), (5, 3)])
def test_a_shard_that_cannot_be_is_refused(index: int, count: int) -> None:
    with pytest.raises(ValueError, match="must be from"):
        Shard(index, count)


@pytest.mark.parametrize(
    ("host", "number"), [("jobs-0", 0), ("remote-job-exporter-12", 12), ("jobs-3.jobs.monitoring.svc", 3)]
)
def test_the_ordinal_of_a_stateful_set_is_at_the_end_of_the_host_name(host: str, number: int) -> None:
    assert ordinal(host) == number


@pytest.mark.parametrize("host", ["", "jobs", "jobs-", "jobs-x", "12", "jobs-0-a"])
def test_a_host_name_without_an_ordinal_is_an_error(host: str) -> None:
    with pytest.raises(ValueError, match="does not end in"):
        ordinal(host)
