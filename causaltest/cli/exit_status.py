"""The exit statuses of what verifies: a usage error is click's own 2."""

HOLDS = 0
UNCHECKED = 1
"""Something could not be checked or read, or a time stamp does not hold or rests on what nobody has checked."""
TAMPERED = 3
"""Something was changed by hand."""
