"""IO for measurements: answers after 20 ms, in a process of its own so that it takes no time of ours. Loopback only."""

import sys
import time

from tests.support.io_stand_in import StandIn

DELAY_SECONDS = 0.02


def main() -> None:
    with StandIn(delay=DELAY_SECONDS, record=False) as io:
        print(io.base_url, flush=True)
        # Ends when whoever started it closes our standard input, or after ten minutes at the latest.
        until = time.monotonic() + 600
        while time.monotonic() < until and sys.stdin.read(1):
            continue


if __name__ == "__main__":
    main()
