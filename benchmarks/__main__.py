"""`python -m benchmarks [name ...] [options]`: run the named measurements, or all of them, each in a process of its own."""

import signal
import subprocess
import sys
from importlib import import_module
from itertools import takewhile

# In the order of docs/performance.md: the module here whose `main` takes the options, and the options it begins with.
MEASUREMENTS: dict[str, tuple[str, ...]] = {
    "dispatch": ("dispatch",),
    "dispatch-workers": ("dispatch", "--workers"),
    "accounts": ("accounts",),
    "accounts-embedded": ("accounts", "--embedded"),
    "pace": ("pace",),
    "pace-fixed": ("pace", "--windows", "fixed"),
    "pace-intruder": ("pace", "--intruder"),
    "fairness": ("fairness",),
    "fairness-limited": ("fairness", "--limited"),
    "latency": ("latency",),
    "outage-refusing": ("outage", "--mood", "503"),
    "outage-silent": ("outage", "--mood", "silent"),
    "outage-cut": ("outage", "--mood", "cut"),
    "claim": ("claim",),
    "connections": ("connections",),
    "post": ("post",),
    "bulk": ("bulk",),
    "lists": ("lists",),
}


def main(arguments: list[str]) -> int:
    names = list(takewhile(lambda word: not word.startswith("-"), arguments))
    options = arguments[len(names) :]
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"no such measurement: {', '.join(unknown)}. There are: {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    if len(names) == 1:
        module, *own = MEASUREMENTS[names[0]]
        import_module(f"benchmarks.{module}").main([*own, *options])
        return 0
    # Settings are read once in a process, and each measurement has servers of its own.
    failed = [
        name
        for name in names or MEASUREMENTS
        if subprocess.run([sys.executable, "-m", "benchmarks", name, *options], check=False).returncode
    ]
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    # Told to end, it ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
