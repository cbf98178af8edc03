"""Pieces of PromQL that many panels share.

What is asked of a job is first reduced to the labels `JOB`, so that replicas show once. A join that brings a
name along has exactly one series a job on its one side: replicas that disagree cannot make it fail.
"""

from collections.abc import Callable

# Written exactly so in the rules too.
PLACE = "instance, pod, container, endpoint, service, namespace"
JOB = "cluster, system, job_id"
PROVIDER = 'provider=~"$provider"'
ONE_JOB = 'job_id="$job_id"'
INFO = "remote_job:info:max"
STATE_CODE = "remote_job:state_code:max"
LAST_SUCCESS = "remote_job:last_success_timestamp_seconds:max"
LAST_FAILURE = "remote_job:last_failure_timestamp_seconds:max"
WATCHED_SINCE = "remote_job:watched_since_timestamp_seconds:min"
_FIRING = 'alertstate="firing"'


def selector(metric: str, *matchers: str) -> str:
    """A metric and what its labels must be."""
    return f"{metric}{{{', '.join(matchers)}}}"


def raw(metric: str, *matchers: str) -> str:
    """A metric as it was scraped, of the places that are chosen."""
    place = ('cluster=~"$cluster"', 'namespace=~"$namespace"', 'job=~"$job"', 'instance=~"$instance"')
    return selector(metric, *place, *matchers)


def of_systems(metric: str, *matchers: str) -> str:
    """The same, of the systems that are chosen."""
    return raw(metric, 'system=~"$system"', *matchers)


def recorded(metric: str, *matchers: str) -> str:
    """What the rules record: it has neither instance nor namespace."""
    return selector(metric, 'cluster=~"$cluster"', 'job=~"$job"', 'system=~"$system"', *matchers)


def each_job(expression: str) -> str:
    """One series a job."""
    return f"max by ({JOB}) ({expression})"


def provided(expression: str, known: str = "") -> str:
    """Only jobs of the providers that are chosen; known now, or within the time `known`."""
    jobs = recorded(INFO, PROVIDER)
    return f"{expression} and on ({JOB}) {f'last_over_time({jobs}[{known}])' if known else jobs}"


def one_each(metric: str, *matchers: str) -> str:
    """One series a job of what is recorded, with the name that people know it by."""
    return f"topk by ({JOB}) (1, {_humanly(lambda name: recorded(metric, PROVIDER, *matchers, name))})"


def _humanly(ask: Callable[[str], str]) -> str:
    """What is asked with one more matcher; a job that nobody named has its id for a name."""
    named, nameless = ask('job_name!=""'), ask('job_name=""')
    return f'{named} or label_replace({nameless}, "job_name", "$1", "job_id", "(.+)")'


def with_name(expression: str, *matchers: str) -> str:
    """The expression, of one series a job, with the label job_name."""
    return f"{expression} * on ({JOB}) group_left (job_name) {one_each(INFO, *matchers)}"


def firing(*matchers: str) -> str:
    """Alerts that fire, about the systems that are chosen and their jobs."""
    return recorded("ALERTS", _FIRING, *matchers)


def firing_anywhere(*matchers: str) -> str:
    """Those that fire, also those about something larger: they have no job, system or provider."""
    return _larger("ALERTS", _FIRING, *matchers)


def firing_since(*matchers: str) -> str:
    """The same, by when each became active, in milliseconds."""

    def since(name: str) -> str:
        active = _larger("ALERTS_FOR_STATE", *matchers, name)
        return f"1000 * {active} and ignoring (alertstate) {firing_anywhere(*matchers, name)}"

    return _humanly(since)


def _larger(metric: str, *matchers: str) -> str:
    own_ones = ('alertname=~"RemoteJob.+"', *matchers)
    return selector(
        metric,
        'cluster=~"$cluster"',
        'job=~"$job|"',
        'system=~"$system|"',
        'provider=~"$provider|"',
        *own_ones,
    )


def or_zero(count: str) -> str:
    """A count that is 0 only where the rules are loaded: nothing at all is better than a false all-clear."""
    return f"{count} or 0 * count({recorded(INFO)})"


def ended(*matchers: str, by: str = "result", within: str = "1h") -> str:
    """How many runs ended in this time; every replica counts them all."""
    seen = f"increase({of_systems('remote_job_runs_finished_total', *matchers)}[{within}])"
    return f"round(sum by ({by}) ({provided(f'max by ({JOB}, result) ({seen})', known=within)}))"


def rate(metric: str) -> str:
    """By the second, over a window that holds four scrapes."""
    return f"rate({metric}[$__rate_interval])"


def per_second(counter: str, *labels: str) -> str:
    """What the exporter counts of systems, a second, by labels."""
    return f"sum by ({', '.join(labels)}) ({rate(of_systems(counter))})"


def quantile(value: float, by: str, buckets: str) -> str:
    """Of a histogram, for each of these labels."""
    return f"histogram_quantile({value}, sum by (le, {by}) ({rate(buckets)}))"


def own(expression: str, *, alive: bool = True) -> str:
    """Only of exporters: with All chosen, `job` alone would let every target in.

    Args:
        expression: with the labels job and instance.
        alive: those that answer now; else also those that did within the day.
    """
    exporters = raw("remote_job_exporter_build_info")
    known = exporters if alive else f"last_over_time({exporters}[1d])"
    return f"{expression} and on (cluster, job, instance) {known}"
