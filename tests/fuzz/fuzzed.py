"""One harness under atheris, in a process that ends with it: ``python -m tests.fuzz.fuzzed NAME FLAG…``."""

import sys

import atheris

with atheris.instrument_imports(include=["exporter", "jmespath"]):
    from tests.fuzz.harnesses import HARNESSES

PLANTED = "--planted"

if __name__ == "__main__":
    name, *flags = sys.argv[1:]
    if PLANTED in flags:
        flags.remove(PLANTED)
        HARNESSES[name].fault().__enter__()
    atheris.Setup([name, *flags], HARNESSES[name].run)
    atheris.Fuzz()
