"""Published reliability of step counts: what one day and several tell of a person."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.activity.reliability import days_needed, spearman_brown

__all__ = ["step_reliability"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
SOURCE = "Spearman–Brown formula on the reliability of one day of steps, .41, of Clemes (2008)"


def step_reliability() -> Found:
    """Reliability of the mean of k days of steps, from .41 for one, and the days to pass 0.80.

    Examples
    --------
    >>> round(step_reliability()[2]["6 days"], 4)
    0.8066
    """
    printed = {
        "1 day": ".4100", "5 days": ".7765", "6 days": ".8066", "7 days": ".8295",
        "30 days": ".9542", "365 days": ".9961", "days to .80": "6",
    }  # fmt: skip
    ours = {name: spearman_brown(0.41, int(name.split()[0])) for name in list(printed)[:-1]}
    return SOURCE, printed, ours | {"days to .80": float(days_needed(0.41, 0.80) or 0)}
