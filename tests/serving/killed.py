"""Runs `osteo` and kills it at a named moment, from outside the program: by what it is about to do to the disk.

    python -m tests.serving.killed NAME NTH before|after -- rollout promote 2 …

Kills the process right before, or right after, a file called NAME takes its place for the NTH time. Python's audit
events tell of the rename before it happens; the next event is that of the folder being opened to be flushed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Set the trap and run the command line."""
    name, nth, moment = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    seen = {"renames": 0, "after": 0}

    def trap(event: str, arguments: tuple[object, ...]) -> None:
        if seen["after"] and event == "open":
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "os.rename" and Path(str(arguments[1])).name == name:
            seen["renames"] += 1
            if seen["renames"] == nth:
                seen["after"] = 1
                if moment == "before":
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(trap)
    sys.argv = ["osteo", *sys.argv[5:]]
    import osteo

    osteo.main()


if __name__ == "__main__":
    main()
