"""Functions timed in turn, so that a machine's moods hit all of them."""

import random
import statistics
import sys
import time


def time_in_turn(functions, rounds=15, seconds=0.02):
    """Time each function once per round, in a new order.

    Args:
        functions: Dictionary from a name to a function without arguments that
            returns when its work is done.
        rounds: Integer, how often each is timed.
        seconds: Float, how long one timing lasts at least; short functions
            are called several times for it.

    Returns:
        Dictionary from each name to its times, a list of seconds per call.
    """
    calls = {}
    for name, function in functions.items():
        for _ in range(3):
            function()
        once = min(_timed(function, 1) for _ in range(3))
        calls[name] = max(1, round(seconds / once))
    times = {name: [] for name in functions}
    order, shuffle = list(functions), random.Random(0).shuffle
    for _ in range(rounds):
        # What ran before leaves its traces in memory: never the same one.
        shuffle(order)
        for name in order:
            times[name].append(_timed(functions[name], calls[name]))
    return times


def _timed(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def quartiles(times):
    """Lower quartile, median and upper quartile of a list of seconds."""
    return statistics.quantiles(times, n=4, method="inclusive")


def tell(text):
    """Progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)
