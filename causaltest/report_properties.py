"""The names under which results travel in pytest's reports, from a worker too. Imports nothing."""

PROPERTY = "causaltest"
"""A claim's result, as one line of JSON."""
SAID = "causaltest said"
"""What a test prints into the report."""
KEPT = "causaltest kept"
"""A claim that goes into a baseline, with a number for each pair."""
