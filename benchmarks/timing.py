"""Timing of several functions in turn.

A change in the speed of the machine then affects all functions alike.
"""

import random
import statistics
import sys
import time


def time_in_turn(functions, rounds=15, seconds=0.02):
    """Time each function once per round, in a new order.

    Args:
        functions: Dictionary from a name to a function without arguments. The
            function must return only after its computation is complete.
        rounds: Integer, how often each function is timed.
        seconds: Float, the approximate duration of one timing. Shorter
            functions are called several times.

    Returns:
        Dictionary from each name to a list of times, in seconds per call.
    """
    calls = {}
    for name, function in functions.items():
        for _ in range(3):
            function()
        once = min(_seconds_per_call(function, 1) for _ in range(3))
        calls[name] = max(1, round(seconds / once))
    times = {name: [] for name in functions}
    order, shuffle = list(functions), random.Random(0).shuffle
    for _ in range(rounds):
        # The function that ran before affects the CPU caches, so the order is
        # different in each round.
        shuffle(order)
        for name in order:
            times[name].append(_seconds_per_call(functions[name], calls[name]))
    return times


def _seconds_per_call(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def quartiles(times):
    """Lower quartile, median and upper quartile of a list of seconds."""
    return statistics.quantiles(times, n=4, method="inclusive")


def report_progress(text):
    """Print progress to stderr: stdout contains only the tables."""
    print(text, file=sys.stderr, flush=True)
