"""What people look at."""

from collections.abc import Iterable
from html import escape

from exporter.plugins import Plugin

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem }
td, th { text-align: left; padding: .2rem 1rem .2rem 0 }
:root { color-scheme: light dark }
"""


def landing(
    version: str, shard: str, systems: Iterable[tuple[str, int, str]], plugins: Iterable[Plugin] = ()
) -> str:
    """The page at ``/``.

    Args:
        shard: which of how many this is, as a sentence; empty where there is only one.
        systems: name, number of jobs and trouble (empty when there is none) of each.
        plugins: what was taken of other distributions.
    """
    taken = escape(", ".join(map(str, plugins)))
    added = f"<p>Plug-ins: {taken}</p>\n" if taken else ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{jobs}</td><td>{escape(trouble) or 'up'}</td></tr>"
        for name, jobs, trouble in systems
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>remote-job-exporter</title><style>{_STYLE}</style></head>
<body>
<h1>remote-job-exporter {escape(version)}</h1>
<p>Reads the state of jobs that run elsewhere when Prometheus scrapes it. {escape(shard)}</p>
<ul>
<li><a href="metrics">/metrics</a>: every configured job, and the exporter itself</li>
<li><a href="metrics?jobs=false">/metrics?jobs=false</a>: the systems and the exporter itself alone</li>
<li><a href="sd">/sd</a>: the jobs as targets for Prometheus, each read by <code>/probe</code></li>
<li><a href="-/healthy">/-/healthy</a> and <a href="-/ready">/-/ready</a></li>
</ul>
<table><thead><tr><th>System</th><th>Jobs</th><th>State</th></tr></thead><tbody>{rows}</tbody></table>
{added}</body>
</html>
"""
