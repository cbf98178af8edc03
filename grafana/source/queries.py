"""Pieces of PromQL that many panels share.

They need exported metrics alone, no recording rule. What is asked of a job is first reduced to the labels
`JOB`, so that replicas show once. A join that brings a label along has exactly one series a job on its one
side: replicas that disagree cannot make it fail.
"""

from collections.abc import Callable

PLACE = "instance, pod, container, endpoint, service, namespace"
"""Labels of the exporter's place. Written exactly so in the rules too."""
JOB = "cluster, system, job_id"
SYSTEM = "cluster, system"
EXPORTER = "cluster, namespace, job, instance"
END = "@ end()"
"""A selector with it is evaluated at the end of the time shown, also in a query for lines."""
NOT_SCRAPED = -2
"""The code of a row that only says that there was nothing to show."""
UNREADABLE = -1
"""The code of a job that cannot be read; its other codes are those of remote_job_state_code."""
RANKS = {6: 0, UNREADABLE: 1, 8: 2, 9: 2, 5: 3, 3: 4, 2: 5, 1: 6, 0: 7, 4: 7, 7: 7}
"""The place of each code: trouble first. The page of jobs has the same order."""
_OF_SYSTEMS = 'system=~"$system"'
# Not by =~: Grafana escapes a single value for a string, not for a regular expression.
_OF_JOB = ('system="$system"', 'job_id="$job_id"')
_ALERTS = 'alertname=~"RemoteJob.+"'
_SEVERITIES = ("critical", "warning", "info")


def selector(metric: str, *matchers: str) -> str:
    """A metric and what its labels must be."""
    return f"{metric}{{{', '.join(matchers)}}}"


def raw(metric: str, *matchers: str) -> str:
    """A metric as it was scraped, of the scrape jobs that are chosen."""
    return selector(metric, 'job=~"$job"', *matchers)


def of_systems(metric: str, *matchers: str) -> str:
    """The same, of the systems that are chosen."""
    return raw(metric, _OF_SYSTEMS, *matchers)


def of_instances(metric: str, *matchers: str) -> str:
    """A metric of the exporters that are chosen."""
    return raw(metric, 'instance=~"$instance"', *matchers)


def of_job(metric: str, *matchers: str) -> str:
    """A metric of the job that is chosen."""
    return raw(metric, *_OF_JOB, *matchers)


def each_job(expression: str) -> str:
    """One series a job, the largest of its replicas."""
    return f"max by ({JOB}) ({expression})"


def state_code(of: Callable[..., str] = of_systems) -> str:
    """The code of each job's state; that of one which cannot be read is `UNREADABLE`."""
    # The filter first, so that few are reduced; where another replica can read the job, there is a code.
    code, unread = (each_job(one) for one in (of("remote_job_state_code"), f"{of('remote_job_up')} == 0"))
    return f"({code} or {unread} + {UNREADABLE})"


def _at_end(metric: str, *matchers: str) -> str:
    return f"{of_systems(metric, *matchers)} {END}"


def _before_end(metric: str, *matchers: str) -> str:
    return f"last_over_time({of_systems(metric, *matchers)}[1h] {END})"


def names(of: Callable[..., str] = of_systems) -> str:
    """A series of 1 for each job, with the label job_name; a job that nobody named has its id for a name."""

    def known(name: str) -> str:
        return f"max by ({JOB}, job_name) ({of('remote_job_info', name)})"

    named, nameless = known('job_name!=""'), known('job_name=""')
    by_id = f'label_replace({nameless}, "job_name", "$1", "job_id", "(.+)")'
    return f"topk by ({JOB}) (1, {named} or on ({JOB}) {by_id})"


def with_name(expression: str) -> str:
    """The expression, of one series a job, with the label job_name."""
    return f"{expression} * on ({JOB}) group_left (job_name) {names()}"


def ranked(first: int = 0) -> str:
    """The code of each job's state, of the jobs at the end of the time shown.

    If none is left, of those within an hour before: what was in trouble when the exporter went down?
    It has the label job_name, and a label a_rank, by which trouble comes first, then system and name.
    Prometheus returns series in the order of their labels, the first of which it is.

    Args:
        first: only so many jobs, those with the most trouble; 0 for all.
    """
    jobs = f"0 * ({_ranks(_at_end, first)} or on () {_ranks(_before_end, first)})"
    # The join comes before the maximum of replicas: with thousands of jobs, that is what takes long.
    code, unreadable = of_systems("remote_job_state_code"), f"({of_systems('remote_job_up')} == 0) - 1"
    return " or ".join(
        f"max by ({JOB}, a_rank, job_name) ({one} + on ({JOB}) group_left (a_rank, job_name) {jobs})"
        for one in (code, unreadable)
    )


def _ranks(of: Callable[..., str], first: int) -> str:
    places = " or ".join(
        f'label_replace(label_replace(vector({rank}), "code", "{code}", "", ""), "rank", "{rank}", "", "")'
        for code, rank in RANKS.items()
    )
    # One code a job: replicas have been reduced to one.
    rank = f'count_values by ({JOB}) ("code", {state_code(of)}) * on (code) group_left (rank) ({places})'
    rank = f"bottomk({first}, {rank})" if first else f"({rank})"
    both = f"{names(of)} * on ({JOB}) group_left (rank) {rank}"
    return f'label_join({both}, "a_rank", " ", "rank", "system", "job_name")'


def otherwise(expression: str, label: str, text: str, value: str = "NaN", seen: str = "") -> str:
    """The expression; where it has no series, a single one with a label that says why.

    Args:
        expression: what is shown.
        label: the one that says why.
        text: its value.
        value: the number of that series.
        seen: a selector; if it had a series in the time shown, a gap needs no such series.
    """
    why = f'label_replace(vector({value}), "{label}", "{text}", "", "")'
    if seen:
        why = f"({why} unless on () last_over_time({seen}[$__range] {END}))"
    return f"{expression} or on () {why}"


def counted(jobs: str) -> str:
    """How many series there are; 0 only if jobs are watched: no number is better than a false all-clear."""
    return f"count({jobs}) or 0 * count({of_systems('remote_job_up')})"


def exporters(of: Callable[[str], str] = raw) -> str:
    """The exporters that Prometheus scrapes now, and whether they respond.

    `job` alone, with All chosen, would let every target in: these have been an exporter within a day.

    Args:
        of: chooses the exporters: `raw` for all, or `of_instances`.
    """
    seen = f"last_over_time({of('remote_job_exporter_build_info')}[1d])"
    return f"max by ({EXPORTER}) ({of('up')} and on ({EXPORTER}) {seen})"


def share(good: str, all_: str, label: str, *by: str) -> str:
    """A series of 1 with the label `label`, such as "1 of 2".

    Args:
        good: a number.
        all_: a number, not smaller.
        label: its name.
        by: the labels of both, if there is more than one of each.
    """
    labels = ", ".join(by)
    numbers = (
        f'count_values by ({labels}) ("good", {good}) '
        f'* on ({labels}) group_left (all) count_values by ({labels}) ("all", {all_})'
    )
    return f'label_join({numbers}, "{label}", " of ", "good", "all")'


def exporters_up(of: Callable[[str], str] = raw) -> str:
    """One series whose label exporters is such as "1 of 2", or "not scraped" if one was within a day.

    A replica or a shard whose pod is gone is no target: those that are up report how many there should be.
    """
    up = exporters(of)
    wanted = f"{of('remote_job_exporter_replicas')} * {of('remote_job_exporter_shards')}"
    targets = f'label_replace(count({up}), "of", "targets", "", "")'
    all_ = f"max({targets} or sum(max by (cluster, namespace, job) ({wanted})))"
    seen = f"group(last_over_time({of('remote_job_exporter_build_info')}[1d]))"
    gone = f'label_replace({seen}, "exporters", "not scraped", "", "")'
    return f"{share(f'sum({up})', all_, 'exporters')} or on () {gone}"


def firing(*matchers: str) -> str:
    """Alerts of ours that fire."""
    return selector("ALERTS", 'alertstate="firing"', 'job=~"$job|"', _ALERTS, *matchers)


def firing_since(*matchers: str) -> str:
    """The same, by when each became active, in milliseconds.

    The label severity has a digit before it, so that the most severe comes first in the order of text.
    """
    since = selector("ALERTS_FOR_STATE", 'job=~"$job|"', _ALERTS, *matchers)
    alerts = f"1000 * {since} and ignoring (alertstate) {firing(*matchers)}"
    # All names begin alike; the rest fits a column, with the instance of an exporter.
    alerts = f'label_join({alerts}, "alert", " at ", "alertname", "instance")'
    alerts = f'label_replace({alerts}, "alert", "$1", "alert", "RemoteJob(.+?)( at )?")'
    alerts = f'label_replace({alerts}, "name", "$1", "job_id", "(.+)")'
    alerts = f'label_replace({alerts}, "name", "$1", "job_name", "(.+)")'
    for digit, severity in enumerate(_SEVERITIES):
        alerts = f'label_replace({alerts}, "severity", "{digit}", "severity", "{severity}")'
    return alerts


def ended(runs: str, by: str = "result", within: str = "1h") -> str:
    """How many runs ended in this time, if any; every replica counts them all.

    Args:
        runs: a selector of remote_job_runs_finished_total.
        by: the label of each number.
        within: the time.
    """
    return f"round(sum by ({by}) (max by ({JOB}, result) (increase({runs}[{within}]) > 0)))"


def rate(metric: str) -> str:
    """By the second, over a window that holds four scrapes; a series that has ended has none any more."""
    return f"(rate({metric}[$__rate_interval]) and {metric})"


def per_second(counter: str, *labels: str) -> str:
    """What exporters count, a second, by labels."""
    return f"sum by ({', '.join(labels)}) ({rate(counter)})"


def quantile(value: float, by: str, buckets: str) -> str:
    """Of a histogram, for each of these labels."""
    return f"histogram_quantile({value}, sum by (le, {by}) ({rate(buckets)}))"
