"""The version of the statistics: raised whenever the same numbers could give another verdict."""

STATISTICS = "1"
