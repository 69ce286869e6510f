"""How a side of `peers` talks to the benchmark: a line with a job comes in, a line with the seconds it took goes out.

As a script, `serve.py SIDE [ARGUMENT...]` serves the `make_round` and the `facts` of the file SIDE, in whatever virtual
environment it is started. It needs the standard library alone.
"""

import json
import runpy
import sys
from collections.abc import Callable, Mapping
from functools import cache

Round = Callable[[], float]  # trains once and returns the seconds it took


def serve(make_round: Callable[[str, int, int], Round], facts: Callable[[], Mapping[str, str | int]]) -> None:
    """Prints the facts, then answers each line [workload, number of seeds, environment steps a seed] with seconds.

    The first answer to a job comes after compiling; the seconds never include it.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is not an answer
    make_round = cache(make_round)
    print(json.dumps(facts()), file=answers, flush=True)
    for line in sys.stdin:
        print(make_round(*json.loads(line))(), file=answers, flush=True)


if __name__ == "__main__":
    side = runpy.run_path(sys.argv[1])
    serve(side["make_round"], side["facts"])
