"""What a read, a scrape and a start cost, beside other programs. Prints a table of ratios.

    python -m benchmarks [--peer FILE] [--rounds N] [--only TEXT] [--plot FILE]

Everything runs on loopback. CPU is user and system time of the process under test alone, which neither the
upstream nor the scraper is a part of. The rows are measured in rounds, one row after the other, so that
what else the machine does concerns both sides of a ratio; a row shows the median of the ratios, the least
and the greatest.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measures import ROWS, Row, Sample
from benchmarks.plot import Bar, plot
from benchmarks.stage import Stage


def measure(rows: Sequence[Row], rounds: int, stage: Stage) -> dict[Row, list[Sample]]:
    """The samples of each row; after Ctrl-C those so far."""
    samples: dict[Row, list[Sample]] = {}
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(rounds):
            for row in rows:
                if number < row.rounds:
                    sample = row.measure(stage)
                    samples.setdefault(row, []).append(sample)
                    print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return samples


def table(samples: dict[Row, list[Sample]]) -> str:
    """The table in Markdown."""
    lines = [
        "| row | this exporter | compared with | ratio | spread | goal |",
        "| --- | ---: | --- | ---: | --- | --- |",
    ]
    for row, got in samples.items():
        unit, factor = row.unit
        ours = statistics.median(sample.ours for sample in got) * factor
        theirs = statistics.median(sample.theirs for sample in got) * factor
        ratios = sorted(row.ratio(sample) for sample in got)
        spread = f"{ratios[0]:.3g} to {ratios[-1]:.3g}" if len(ratios) > 1 else ""
        goal = f"{'≥' if row.least else '≤'} {row.goal:g}"
        lines.append(
            f"| {row.name} | {ours:.3g} {unit} | {theirs:.3g} {unit}: {row.against} "
            f"| {statistics.median(ratios):.3g} | {spread} | {goal} |"
        )
    return "\n".join(lines)


def bars(samples: dict[Row, list[Sample]]) -> list[Bar]:
    """The rows for the plot; of ratios that should be great, the inverse."""
    shown = []
    for row, got in samples.items():
        ratios = sorted(sample.ours / sample.theirs for sample in got)
        goal = 1 / row.goal if row.least else row.goal
        shown.append(Bar(row.name, statistics.median(ratios), ratios[0], ratios[-1], goal))
    return shown


def main() -> None:
    """Measures, prints the table, and writes the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--peer", default=shutil.which("json_exporter"), help="json_exporter, if not on PATH")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    parser.add_argument("--plot", type=Path, help="write an SVG")
    options = parser.parse_args()
    found = {"json_exporter": options.peer, "prometheus": shutil.which("prometheus")}
    rows = [row for row in ROWS if options.only in row.name and all(found[each] for each in row.needs)]
    for row in ROWS:
        if missing := [each for each in row.needs if not found[each]]:
            print(f"left out: {row.name} (needs {', '.join(missing)})", file=sys.stderr)
    with Stage(options.peer) as stage:
        samples = measure(rows, options.rounds, stage)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load average {load:.1f}, Python {sys.version.split()[0]}\n")
    print(table(samples))
    if options.plot:
        options.plot.write_text(plot(bars(samples)), encoding="utf-8")


if __name__ == "__main__":
    main()
