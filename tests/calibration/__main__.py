"""`make calibration` writes docs/calibration.md from a run of every part; with PARTS="5 6", of these alone."""

import sys

from calibration.page import write

if __name__ == "__main__":
    write(map(int, sys.argv[1:]))
