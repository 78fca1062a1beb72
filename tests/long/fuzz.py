"""Search for inputs that break a decoder, guided by coverage: python -m tests.long.fuzz NAME|all [--seconds N]

Needs atheris (tests/long/requirements.txt). What breaks a decoder is kept in tests/unit/fuzz/crashes/NAME, where the
unit tests replay it; what led on is kept in run/fuzz/NAME and is where the next search begins.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from hashlib import sha1
from importlib import import_module
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
CORPUS = PROJECT / "run" / "fuzz"
CRASHES = PROJECT / "tests" / "unit" / "fuzz" / "crashes"
INSTRUMENTED = ["edged", "edged_connectors", "edged_cloud_sync", "edged_inference", "edged_control", "yaml"]
LONGEST_BYTES = 8192
DEFAULT_SECONDS = 60


def search(name: str, seconds: int) -> None:
    """Searches in this process, which libFuzzer ends."""
    try:
        atheris: Any = import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is not installed: pip install -r tests/long/requirements.txt")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.unit.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus, crashes = CORPUS / name, CRASHES / name
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_BYTES}",
        f"-artifact_prefix={crashes}/",
        "-timeout=10",
        "-len_control=10",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options, "-print_final_stats=1"], target.check)
    atheris.Fuzz()


def main() -> int:
    """One target in this process, or all of them, each in its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", help="a target of tests/unit/fuzz/targets.py, or all")
    parser.add_argument("--seconds", type=int, default=DEFAULT_SECONDS, help="for each target (default %(default)s)")
    options = parser.parse_args()
    if options.name != "all":
        search(options.name, options.seconds)
        return 0
    from tests.unit.fuzz.targets import TARGETS

    command = [sys.executable, "-m", "tests.long.fuzz"]
    broken = [
        n for n in TARGETS if subprocess.run([*command, n, "--seconds", str(options.seconds)], check=False).returncode
    ]
    print(f"fuzz: {len(TARGETS)} targets, broken: {', '.join(broken) or 'none'}")
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
