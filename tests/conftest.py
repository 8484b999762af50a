from __future__ import annotations

import os

# Two threads on shared cores are many times slower than one; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["pytester"]
