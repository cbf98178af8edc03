"""What an exporter imports until it has answered a scrape."""

import subprocess
import sys
from pathlib import Path

HEAVY = frozenset(
    {
        "exporter.guides",
        "exporter.simulator",
        "jinja2",
        "jmespath",
        "markdown_it",
        "requests",
        "rich",
        "urllib3",
    }
)
"""What other commands, pages and expressions need. Each takes 10 to 60 ms, or 1 to 5 MB."""

_SCRAPE = """
import asyncio, sys
from pathlib import Path
from exporter.cli import main, serve
from exporter.metrics.exposition import Format

async def scrape():
    service = serve.service.Service(Path(sys.argv[1]), serve.service.Options(listen=("127.0.0.1:0",)))
    await service.start()
    await service.collector.scrape(5, Format.TEXT)
    await service.stop()
    print(*sys.modules)

main.load_command("serve")
asyncio.run(scrape())
"""


def test_serve_does_not_import_what_only_other_commands_and_pages_need(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "systems: {a: {provider: sitecore, base_url: 'http://127.0.0.1:9', auth: {type: bearer, token: t}, "
        "jobs: [{id: b}]}}"
    )
    run = subprocess.run(
        [sys.executable, "-c", _SCRAPE, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "exporter.service" in run.stdout.split(), run.stderr
    assert HEAVY.isdisjoint(run.stdout.split())
