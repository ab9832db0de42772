"""Tells how much of the machine others use: two programs can only be compared while it is theirs alone."""

import os
import resource
import time

TICK = os.sysconf("SC_CLK_TCK")


def busy() -> float:
    """Returns the seconds that all processors have worked since the machine started, for anyone."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def own() -> float:
    """Returns the seconds that this process and its finished children have worked."""
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


class Others:
    """Measures the processors that others keep busy, from its start on."""

    def __init__(self):
        self.time, self.busy, self.own = time.monotonic(), busy(), own()

    def processors(self) -> float:
        spent = busy() - self.busy - (own() - self.own)
        return max(0.0, spent / (time.monotonic() - self.time))


def wait(patience: float, most: float = 0.1) -> bool:
    """Waits until others use less than that many processors for half a second; false if that takes too long."""
    end = time.monotonic() + patience
    while True:
        others = Others()
        time.sleep(0.5)
        if others.processors() < most:
            return True
        if time.monotonic() > end:
            return False
