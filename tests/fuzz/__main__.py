"""``make fuzz``: gives each harness input of atheris for a while, and reports input that breaks a promise.

The input that led to new code stays in ``.fuzz/``, so the next run goes on from there.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from tests.fuzz.harnesses import HARNESSES

FOLDER = Path(__file__).resolve().parents[2] / ".fuzz"
INPUT_SECONDS = 20
"""The most that one input may take; far more than any promise allows, since the machine may be busy."""
RSS_MIB = 2048
MAX_LINES = 100
"""Of what the fuzzer prints about a fault: the traceback, and the file with the input."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each harness; 60 without it")
    parser.add_argument("--only", choices=HARNESSES, action="append", help="this harness; may be repeated")
    parser.add_argument("--planted", action="store_true", help="plants a fault, which each harness must find")
    parser.add_argument("--input", type=Path, help="runs this input of the harness again, without the fuzzer")
    return parser.parse_args()


def fuzz(name: str, seconds: int, *, planted: bool) -> bool:
    """Whether a harness did what it should: to find nothing, or the fault that is planted."""
    corpus, found = (FOLDER / f"{name}{'-planted' * planted}" / part for part in ("corpus", "found"))
    if planted:
        shutil.rmtree(corpus.parent, ignore_errors=True)
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in [HARNESSES[name].near] if planted else HARNESSES[name].seeds():
        (corpus / sha256(seed).hexdigest()).write_bytes(seed)
    command = [sys.executable, "-m", "tests.fuzz.fuzzed", name, *(["--planted"] if planted else [])]
    command += [f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={RSS_MIB}"]
    command += ["-print_final_stats=1", f"-artifact_prefix={found}/", str(corpus)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    took = time.monotonic() - began
    executed = re.search(r"stat::number_of_executed_units: *([1-9]\d*)", done.stderr)
    inputs = executed[1] if executed else "no"
    if planted:
        shown = [file for file in found.iterdir() if breaks(name, file)]
        show(f"{name}: {'found the fault' if shown else 'DID NOT FIND the fault'} in {took:.0f} s")
        return bool(shown)
    if done.returncode == 0 and executed:
        show(f"{name}: {inputs} inputs in {took:.0f} s, no fault")
        return True
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
    show("\n".join([f"{name}: FAULT after {inputs} inputs", *lines[-MAX_LINES:]]))
    show(f'to repeat it: make fuzz ARGS="--only {name} --input FILE", with the file that is named above')
    return False


def show(text: str) -> None:
    print(text, flush=True)


def breaks(name: str, file: Path) -> bool:
    """Whether the input in a file shows the planted fault, and nothing else."""
    harness, data = HARNESSES[name], file.read_bytes()
    harness.run(data)
    try:
        with harness.fault():
            harness.run(data)
    except Exception:  # noqa: BLE001  whatever the fault leads to
        return True
    return False


if __name__ == "__main__":
    options = arguments()
    names = options.only or list(HARNESSES)
    if options.input is not None:
        for name in names:
            HARNESSES[name].run(options.input.read_bytes())
    else:
        results = [fuzz(name, options.seconds, planted=options.planted) for name in names]
        sys.exit(not all(results))
