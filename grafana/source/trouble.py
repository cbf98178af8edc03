"""Jobs and systems that need attention, by the conditions of the alerts without their delays.

Each expression has one series a job, with the labels `queries.JOB`, or one a system, with `queries.SYSTEM`.
The alerts also remember what an exporter forgets when it restarts.
"""

from collections.abc import Callable

from grafana.source.queries import JOB, SYSTEM, each_job, of_systems

Selector = Callable[..., str]
_DAY = 86400
_THREE_DAYS = 259200


def in_state(*states: str, of: Selector = of_systems) -> str:
    """Jobs in one of these states, by any replica."""
    matcher = f'remote_job_state=~"{"|".join(states)}"'
    return each_job(f"{of('remote_job_state', matcher)} == 1")


def so_far(expectation: str, of: Selector = of_systems) -> str:
    """The seconds that count against what the configuration expects, of the jobs of which it is expected now.

    Args:
        expectation: such as run_within.
        of: chooses the jobs: `of_systems` or `of_job`.
    """

    def when(*names: str) -> str:
        return " or ".join(of(f"remote_job_{name}_timestamp_seconds") for name in names)

    running = in_state("running", "canceling", of=of)
    queued = in_state("queued", of=of)
    moved, entered = each_job(when("progress_changed")), f"min by ({JOB}) ({when('state')})"
    success = f"{each_job(when('last_success'))} or min by ({JOB}) ({when('watched_since')})"
    since = {
        "start_within": f"min by ({JOB}) ({when('queued', 'state')}) and {queued}",
        "progress_within": f"({moved} >= {entered} or {entered} and {moved}) and {running}",
        "run_within": f"min by ({JOB}) ({when('start', 'queued', 'state')}) and {running}",
        "success_within": success,
    }
    return f"(time() - ({since[expectation]}))"


def allowed(expectation: str, of: Selector = of_systems) -> str:
    """The seconds that the configuration expects."""
    return each_job(of("remote_job_expected_seconds", f'expectation="{expectation}"'))


def beyond(expectation: str) -> str:
    """Jobs that need longer than the configuration expects."""
    return f"{so_far(expectation)} > {allowed(expectation)}"


def too_long() -> str:
    """Jobs that wait, run or make no progress for longer than expected."""
    return " or ".join(map(beyond, ("start_within", "progress_within", "run_within")))


def failed() -> str:
    """Jobs whose newest failure is newer than their newest success; a single run, for a day."""
    failure, success = (_newest(what) for what in ("failure", "success"))
    newest = f"({failure} > {success} or {failure} unless {success})"
    return f"{newest} unless ({_single_runs()} and time() - {failure} >= {_DAY})"


def partly_failed() -> str:
    """Jobs that ended with errors, a single run for a day; jobs that run, and over 5 % of 20 items fail."""
    old = f"({_single_runs()} and time() - {_newest('success')} >= {_DAY})"
    known, processed, succeeded, failures = (
        of_systems(f"remote_job_items{name}") for name in ("", "_processed", "_succeeded", "_failed")
    )
    of_all = each_job(f"{processed} or {succeeded} + {failures} or {known}")
    failing = f"{each_job(failures)} > 0.05 * ({of_all} >= 20)"
    return f"{in_state('succeeded_with_errors')} unless {old} or {in_state('running')} and {failing}"


def unreadable() -> str:
    """Jobs that no replica can read, for any reason; of one that a replica can read, there is a state."""
    # The filter first: to reduce all jobs over hours costs four times as much.
    up, code = (of_systems(f"remote_job_{one}") for one in ("up", "state_code"))
    return f"({each_job(f'{up} == 0')} unless on ({JOB}) {code})"


def down() -> str:
    """Systems whose credentials or listing of jobs no replica can use."""
    return f"(max by ({SYSTEM}) ({of_systems('remote_job_system_up')}) == 0)"


def degraded() -> str:
    """Systems that are up, but have unreadable or dropped jobs, or credentials that expire soon."""
    expiry = f"min by ({SYSTEM}) ({of_systems('remote_job_system_credentials_expiry_timestamp_seconds')})"
    dropped = f"max by ({SYSTEM}) ({of_systems('remote_job_system_jobs_dropped')})"
    some = f"count by ({SYSTEM}) ({unreadable()}) or {expiry} - time() < {_THREE_DAYS} or {dropped} > 0"
    return f"(({some}) unless {down()})"


def health() -> str:
    """Of each system: 0 if it is down, 1 if it is degraded, 2 if it is up."""
    up = f"2 * max by ({SYSTEM}) ({of_systems('remote_job_system_up')})"
    return f"(0 * {down()} or 0 * {degraded()} + 1 or {up})"


def _newest(what: str) -> str:
    return each_job(of_systems(f"remote_job_last_{what}_timestamp_seconds"))


def _single_runs() -> str:
    return each_job(of_systems("remote_job_info", 'job_kind="run"'))
