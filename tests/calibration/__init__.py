"""The judge on samples whose truth is known: docs/calibration.md, and the tests that keep it true."""
