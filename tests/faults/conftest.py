from __future__ import annotations

import sys
from pathlib import Path

# The short forms share their code with the long ones.
sys.path.insert(0, str(Path(__file__).parents[2]))
