"""``python -m tests.soak``: runs a soak and prints its report; exit code 1 if anything is wrong."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.run import run


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for all files; kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(run(folder, options.minutes * 60, options.seed, shutil.which("prometheus")))
        with (folder / "weights.csv").open("w") as file:
            file.writelines(
                f"{at:.0f},{weight.memory:.1f},{weight.threads},{weight.files}\n"
                for at, weight in report.course
            )
    sys.stdout.writelines(f"{line}\n" for line in report.lines())
    return 1 if list(report.verdicts()) else 0


if __name__ == "__main__":
    sys.exit(main())
