"""HTML pages."""

from collections.abc import Iterable
from html import escape
from urllib.parse import urlencode

from exporter.collector.system import Overview
from exporter.plugins import Plugin

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem }
td, th { text-align: left; padding: .2rem 1rem .2rem 0 }
:root { color-scheme: light dark }
"""


def landing(version: str, shard: str, systems: Iterable[Overview], plugins: Iterable[Plugin] = ()) -> str:
    """The page at ``/``.

    Args:
        shard: which shard this is, as a sentence; empty if there is only one.
    """
    used = escape(", ".join(map(str, plugins)))
    added = f"<p>Plug-ins: {used}</p>\n" if used else ""
    rows = "".join(map(_row, systems))
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>remote-job-exporter</title><style>{_STYLE}</style></head>
<body>
<h1>remote-job-exporter {escape(version)}</h1>
<p>Reads the state of jobs that run elsewhere when Prometheus scrapes it. {escape(shard)}</p>
<ul>
<li><a href="metrics">/metrics</a>: every configured job, and the exporter itself</li>
<li><a href="metrics?jobs=false">/metrics?jobs=false</a>: only the systems and the exporter itself</li>
<li><a href="sd">/sd</a>: the jobs as targets for Prometheus, each read by <code>/probe</code></li>
<li><a href="-/healthy">/-/healthy</a> and <a href="-/ready">/-/ready</a></li>
</ul>
<table><thead><tr><th>System</th><th>Readable jobs</th><th>Worst failure</th></tr></thead>
<tbody>{rows}</tbody></table>
{added}</body>
</html>
"""


def _row(system: Overview) -> str:
    return (
        f"<tr><td>{escape(system.system)}</td><td>{system.readable} of {system.jobs}</td>"
        f"<td>{_failure(system)}</td></tr>"
    )


def _failure(system: Overview) -> str:
    """Why jobs cannot be read, with a link that explains one of them."""
    if system.reason is None:
        if system.incomplete:
            return "incomplete: the listing ended before its own total"
        return "none" if system.readable == system.jobs else "not read yet"
    if system.example is None:
        return escape(system.reason)
    query = urlencode({"system": system.system, **system.example.keys, "debug": "true"})
    return f'{escape(system.reason)}: <a href="{escape(f"probe?{query}")}">explain one job</a>'
