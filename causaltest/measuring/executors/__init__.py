"""Measuring by other processes than the one that asks: workers with a model each, who share the tasks of a plan."""
