"""Judging: what may be said of a prediction, given an effect's numbers. numpy and scipy only."""
