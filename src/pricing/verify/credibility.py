"""Published credibility: premiums on Hachemeister's data, standards for full credibility."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.data.tables import reference_table, source_of
from pricing.estimate.credibility import Credibility, buhlmann_straub
from pricing.estimate.hierarchy import hierarchical
from pricing.estimate.limited import full_credibility

__all__ = [
    "buhlmann_figures",
    "buhlmann_straub_figures",
    "full_credibility_figures",
    "hierarchical_figures",
]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
VIGNETTE = "actuar (R), vignette on credibility"


def buhlmann_straub_figures() -> Found:
    """Bühlmann–Straub with claim counts as weights.

    Examples
    --------
    >>> round(buhlmann_straub_figures()[2]["Bühlmann–Straub m"], 3)
    1683.713
    """
    found = buhlmann_straub(
        reference_table("hachemeister"), group="state", value="ratio", weight="weight"
    )
    printed = {
        "m": "1683.713", "s²": "139120025.925", "a": "89638.726",
        "Z 1": "0.984740", "Z 2": "0.927635", "Z 3": "0.898475", "Z 4": "0.727909",
        "Z 5": "0.958791", "mean 1": "2060.921", "mean 2": "1511.224", "mean 3": "1805.843",
        "mean 4": "1352.976", "mean 5": "1599.829", "premium 1": "2055.165",
        "premium 2": "1523.706", "premium 3": "1793.444", "premium 4": "1442.967",
        "premium 5": "1603.285",
    }  # fmt: skip
    return _labelled("Bühlmann–Straub", printed, found)


def buhlmann_figures() -> Found:
    """Bühlmann: every quarter weighs the same.

    Examples
    --------
    >>> round(buhlmann_figures()[2]["Bühlmann Z 1"], 7)
    0.9496143
    """
    found = buhlmann_straub(reference_table("hachemeister"), group="state", value="ratio")
    printed = {
        "m": "1671.0167", "s²": "46040.4712", "a": "72310.0246", "Z 1": "0.9496143",
        "premium 1": "2044.041", "premium 2": "1518.588", "premium 3": "1814.234",
        "premium 4": "1375.987", "premium 5": "1602.233",
    }  # fmt: skip
    return _labelled("Bühlmann", printed, found)


def hierarchical_figures() -> Found:
    """Hierarchical, iterative: states 1 and 3 in one cohort, 2, 4 and 5 in another.

    Examples
    --------
    >>> round(hierarchical_figures()[2]["hierarchical premium of state 4"])
    1497
    """
    cohort = pl.col("state").is_in([1, 3]).replace_strict({True: 1, False: 2})
    found = hierarchical(
        reference_table("hachemeister").with_columns(cohort=cohort),
        groups=["cohort", "state"], value="ratio", weight="weight", method="iterative",
    )  # fmt: skip
    printed = {
        "m": "1746", "between cohorts": "88981", "between states": "10952", "s²": "139120026",
        "mean of cohort 1": "1967", "mean of cohort 2": "1528", "weight of cohort 1": "1.407",
        "weight of cohort 2": "1.596", "Z of cohort 1": "0.9196", "Z of cohort 2": "0.9284",
        "premium of cohort 1": "1949", "premium of cohort 2": "1543", "Z of state 1": "0.8874",
        "Z of state 2": "0.6103", "Z of state 3": "0.5195", "Z of state 4": "0.2463",
        "Z of state 5": "0.7398", "premium of state 1": "2048", "premium of state 2": "1524",
        "premium of state 3": "1875", "premium of state 4": "1497", "premium of state 5": "1585",
    }  # fmt: skip
    ours = {
        "m": found.facts["collective"],
        "between cohorts": found.details["between"]["cohort"],
        "between states": found.details["between"]["state"],
        "s²": found.facts["within"],
    }
    for level, table in (("cohort", found.frames["cohort"]), ("state", found.table)):
        for row in table.iter_rows(named=True):
            of = f"of {level} {row[level]}"
            ours |= {f"mean {of}": row["mean"], f"weight {of}": row["weight"]}
            ours |= {f"Z {of}": row["credibility"], f"premium {of}": row["premium"]}
    model = "hierarchical"
    return (
        f"{source_of('hachemeister')}; {VIGNETTE}, hierarchical model",
        {f"{model} {name}": text for name, text in printed.items()},
        {f"{model} {name}": value for name, value in ours.items()},
    )


def full_credibility_figures() -> Found:
    """Claims for full credibility of a Poisson frequency, by probability and tolerance.

    Examples
    --------
    >>> round(full_credibility_figures()[2]["full credibility 90% within 5%"], 1)
    1082.2
    """
    printed = {
        "full credibility 90% within 5%": "1082",
        "full credibility 95% within 5%": "1537",
        "full credibility 99% within 5%": "2654",
    }
    ours = {
        f"full credibility {p:.0%} within 5%": full_credibility(probability=p, tolerance=0.05)
        for p in (0.90, 0.95, 0.99)
    }
    source = "Longley-Cook (1962), table of full-credibility standards; Mahler and Dean (2001)"
    return source, printed, ours


def _labelled(model: str, printed: Mapping[str, str], found: Credibility) -> Found:
    ours = {
        f"{model} m": found.facts["collective"],
        f"{model} s²": found.facts["within"],
        f"{model} a": found.facts["between"],
    }
    for row in found.table.iter_rows(named=True):
        ours[f"{model} Z {row['state']}"] = row["credibility"]
        ours[f"{model} mean {row['state']}"] = row["mean"]
        ours[f"{model} premium {row['state']}"] = row["premium"]
    source = f"{source_of('hachemeister')}; {VIGNETTE}"
    return source, {f"{model} {name}": text for name, text in printed.items()}, ours
