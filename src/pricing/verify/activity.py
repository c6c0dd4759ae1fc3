"""Published reliability of step counts, and the two units of HbA1c side by side."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.activity.metrics import METRICS
from pricing.activity.reliability import spearman_brown

__all__ = ["hba1c_units", "step_reliability"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
SOURCE = "Spearman–Brown formula on the reliability of one day of steps, .41, of Clemes (2008)"


def step_reliability() -> Found:
    """Reliability of the mean of k days of steps, from .41 for one.

    Examples
    --------
    >>> round(step_reliability()[2]["6 days"], 4)
    0.8066
    """
    printed = {
        "1 day": ".4100", "5 days": ".7765", "6 days": ".8066", "7 days": ".8295",
        "30 days": ".9542", "365 days": ".9961",
    }  # fmt: skip
    ours = {name: spearman_brown(0.41, int(name.split()[0])) for name in printed}
    return SOURCE, printed, ours


def hba1c_units() -> Found:
    """HbA1c in NGSP % for round IFCC values, as conversion tables print them.

    Examples
    --------
    >>> round(hba1c_units()[2]["48 mmol/mol"], 1)
    6.5
    """
    printed = {"42": "6.0", "48": "6.5", "53": "7.0", "64": "8.0", "75": "9.0", "86": "10.0"}
    factor, offset = METRICS["hba1c"].factors()["mmol/mol"]
    source = "NGSP and IFCC conversion table, after Hoelzel et al. (2004)"
    ours = {f"{ifcc} mmol/mol": factor * int(ifcc) + offset for ifcc in printed}
    return source, {f"{ifcc} mmol/mol": ngsp for ifcc, ngsp in printed.items()}, ours
