"""`python -m benchmarks [name ...]`: run the named measurements, or all of them."""

import sys

from benchmarks import dispatch

ALL = {"dispatch": dispatch.main}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}. There are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    for name in names or list(ALL):
        ALL[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
