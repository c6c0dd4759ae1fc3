"""Hierarchical credibility: states in regions, firms in industries, levels above levels.

Jewell's model (1975): the mean of a group varies around its parent's with variance a_1, the parent's
around its own parent's with a_2, and so on up to the collective mean m; observations vary around
their group's mean with s²/w. Upwards, with u the variance of an own mean X around the true one
(s²/w at the bottom),

* Z = a/(a + u),   X of a parent = Σ Z X / Σ Z of its children,   u of a parent = a/Σ Z
* premium = Z·X + (1 − Z)·premium of the parent, from m = Σ Z X / Σ Z of the top downwards.

Variances, with V = 1/u, per parent i with J_i children T_i = Σ V (X − X̄_i)² − (J_i − 1) and
c_i = ΣV − ΣV²/ΣV:

* Bühlmann–Gisler: a = mean of max(T_i/c_i, 0) over parents with two children or more
* Ohlsson: a = max(ΣT_i/Σc_i, 0)
* iterative (pseudo-estimator): a = Σ Z (X − X_z)²/Σ(J_i − 1), Z and X_z those of a.

Sources: Jewell (1975); Bühlmann and Gisler (2005), chapter 6; Ohlsson (2005); Goovaerts and
Hoogstad (1987); Belhadj, Goulet and Ouellet (2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.credibility import (
    Codes,
    Floats,
    pseudo_between,
    sums_by,
    sums_of_cells,
)
from pricing.experience.cells import Experience
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Hierarchy", "Method", "hierarchical", "hierarchy_of_cells"]

Method = Literal["iterative", "buhlmann_gisler", "ohlsson"]


class Hierarchy(Result):
    """Credibility premiums level by level; ``.frames`` has a table for every level above."""

    kind = "hierarchy"

    def finding(self, lang: Language = "en") -> str:
        """Say how far groups of the lowest level are believed, and what the rest goes to."""
        facts = {**self.facts, "group": label(self.facts["group"], lang)}
        facts["complement"] = label(self.facts["complement"], lang)
        facts["method"] = level_label(self.facts["method"], lang)
        return say("finding.hierarchy", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw own mean, premium and complement of every group of the lowest level."""
        t, path = self.table, list(self.details["path"])
        places = [
            " / ".join(level_label(str(part), lang) for part in row)
            for row in t.select(path).iter_rows()
        ]
        none: list[float | None] = [None] * t.height
        figure = interval_figure(
            places,
            t["premium"].to_list(),
            none,
            none,
            name="premium",
            factor=self.facts["group"],
            lang=lang,
            bars=t["weight"].to_list(),
            bars_name="weight",
        )
        with_points(figure, places, t["mean"].to_list(), name="mean", lang=lang, colour="second")
        return with_points(
            figure, places, t["complement"].to_list(), name="complement", lang=lang,
            symbol="square-open", colour="third",
        )  # fmt: skip


@dataclass(frozen=True)
class _Level:
    """One level of the tree, on the way up."""

    nodes: pl.DataFrame
    parent: Codes
    mean: Floats
    weight: Floats
    credibility: Floats
    between: float


def hierarchical(
    frame: pl.DataFrame,
    *,
    groups: Sequence[str],
    value: str,
    weight: str | None = None,
    method: Method = "iterative",
) -> Hierarchy:
    """Credibility premiums of groups within groups, from observations by group and period.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per lowest group and period.
    groups : sequence of str
        Columns from the coarsest to the finest, such as ``["industry", "firm"]``; a group is named
        by its whole path, so firm 1 of two industries is two firms.
    value : str
        Observation, such as average claim (currency), frequency or loss ratio.
    weight : str, optional
        Volume behind it, above zero; 1 where left out.
    method : {"iterative", "buhlmann_gisler", "ohlsson"}
        How the variances between are estimated.

    Returns
    -------
    Hierarchy
        ``.table``, lowest level: groups, observations, weight, mean, credibility, complement (the
        parent's premium), premium. ``.frames[name]``: the same of the level called ``name``, whose
        weight is the ΣZ of its children (its natural weight where no credibility is earned below).
        ``.facts``: collective, within (s²), between_lowest, between_highest, method, complement;
        ``.details["between"]``: variance by level.

    Raises
    ------
    InputError
        As :func:`pricing.estimate.credibility.buhlmann_straub`; for fewer than two groups at the
        top, and for a level where no parent has two children.

    Notes
    -----
    With one level this is Bühlmann–Straub (iterative: its pseudo-estimator; the other two: its
    unbiased one).

    Examples
    --------
    >>> frame = pl.DataFrame({"region": ["n"] * 4 + ["s"] * 4, "firm": [1, 1, 2, 2, 1, 1, 2, 2],
    ...                       "ratio": [0.5, 0.7, 0.6, 1.0, 1.5, 1.3, 1.1, 1.3]})
    >>> found = hierarchical(frame, groups=["region", "firm"], value="ratio")
    >>> found.table.select("region", "firm", pl.col("premium").round(3)).rows()
    [('n', 1, 0.702), ('n', 2, 0.727), ('s', 1, 1.298), ('s', 2, 1.273)]
    """
    _require(groups, method)
    sums, basis = sums_by(frame, list(groups), value, weight)
    return _estimate(sums, list(groups), basis, method)


def hierarchy_of_cells(
    experience: Experience,
    rate: pl.Expr,
    groups: Sequence[str],
    *,
    method: Method = "iterative",
) -> Hierarchy:
    """Hierarchical credibility of actual-to-expected claims, as if computed on rows.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``groups`` and the keys that ``rate`` reads.
    rate : polars.Expr
        Expected claims per policy-year without the groups' own effect.
    groups : sequence of str
        Keys from the coarsest to the finest.
    method
        As in :func:`hierarchical`.

    Returns
    -------
    Hierarchy
        As :func:`hierarchical`; ``mean`` is actual-to-expected, ``weight`` expected claims.

    Raises
    ------
    InputError
        As :func:`hierarchical`; for cells without an expected rate above zero.

    Examples
    --------
    >>> rows = pl.DataFrame({"region": ["n"] * 4 + ["s"] * 4, "firm": ["1", "1", "2", "2"] * 2,
    ...                      "exposure": [10.0] * 8, "claims": [5, 7, 6, 10, 15, 13, 11, 13]})
    >>> found = hierarchy_of_cells(Experience.collect(rows, ["region", "firm"]), pl.lit(1.0), ["region", "firm"])
    >>> found.table["premium"].round(3).to_list()
    [0.702, 0.727, 1.298, 1.273]
    """
    _require(groups, method)
    sums = sums_of_cells(experience, rate, list(groups))
    return _estimate(sums, list(groups), experience.basis, method)


def _require(groups: Sequence[str], method: str) -> None:
    if method not in get_args(Method):
        raise InputError(f"no such choice: {method!r}{nearest(str(method), get_args(Method))}")
    if isinstance(groups, str) or not groups or len(set(groups)) < len(groups):
        raise InputError(f"give the groups as different columns, coarsest first; got {groups!r}")


def _estimate(sums: pl.DataFrame, path: list[str], basis: Basis, method: Method) -> Hierarchy:
    freedom = int(sums["observations"].sum()) - sums.height
    if freedom < 1:
        raise InputError(
            f"no group of {path[-1]!r} has two observations, so the spread within groups is unknown",
            do="give more than one period",
        )
    weight = sums["weight"].to_numpy()
    mean = (sums["first"] / sums["weight"]).to_numpy()
    spread = sums["second"] - sums["first"] ** 2 / sums["weight"]
    within = float(spread.clip(0).sum()) / freedom
    if not within > 0:
        raise InputError(
            "observations do not spread within any group, so each would be believed in full",
            do="give more periods, or use the groups' own means",
        )
    levels, top = _climb(sums, path, mean, within / weight, weight, method)
    tables = _descend(levels, path, top)
    lowest = tables[path[-1]].with_columns(sums["observations"])
    between = {name: level.between for name, level in zip(reversed(path), levels, strict=True)}
    complement = path[-2] if len(path) > 1 else "collective"
    facts: dict[str, Any] = {
        "group": path[-1],
        "groups": sums.height,
        "collective": top,
        "within": within,
        "between_lowest": between[path[-1]],
        "between_highest": between[path[0]],
        "lowest": float(lowest["credibility"].min()),  # type: ignore[arg-type]
        "highest": float(lowest["credibility"].max()),  # type: ignore[arg-type]
        "method": method,
        "complement": complement,
    }
    said = (
        f"complement of credibility: the premium of {complement!r}, above it the collective mean"
        if len(path) > 1
        else "complement of credibility: the collective mean"
    )
    return Hierarchy(
        table=lowest.select(*path, "observations", pl.exclude(*path, "observations")),
        basis=replace(basis, notes=(*basis.notes, said)),
        facts=facts,
        frames={name: tables[name] for name in path[:-1]},
        details={"path": path, "between": between},
    )


def _climb(
    sums: pl.DataFrame,
    path: list[str],
    mean: Floats,
    variance: Floats,
    weight: Floats,
    method: Method,
) -> tuple[list[_Level], float]:
    """Levels from the lowest up, and the collective mean."""
    levels: list[_Level] = []
    nodes = sums.select(path)
    for depth in range(len(path), 0, -1):
        above = path[: depth - 1]
        parents = nodes.select(above).unique(maintain_order=True) if above else pl.DataFrame()
        if above:
            place = parents.with_row_index("_parent")
            joined = nodes.join(place, on=above, how="left", maintain_order="left")
            parent = joined["_parent"].to_numpy().astype(np.int64)
        else:
            parent = np.zeros(nodes.height, dtype=np.int64)
        children = np.bincount(parent)
        if not (children > 1).any():
            raise InputError(
                f"{path[depth - 1]!r} has {nodes.height} group(s) and none beside another under the "
                "same parent: their variance between cannot be estimated",
                do="leave this level out",
            )
        between = _between(variance, mean, parent, method)
        levels.append(_Level(nodes, parent, mean, weight, between / (between + variance), between))
        share = 1.0 / (variance + between)
        held = np.bincount(parent, weights=share)
        mean = np.bincount(parent, weights=share * mean) / held
        natural = np.bincount(parent, weights=weight).astype(np.float64)
        weight = np.asarray(between * held if between > 0 else natural, dtype=np.float64)
        variance = 1.0 / held
        nodes = parents
    return levels, float(mean[0])


def _descend(levels: list[_Level], path: list[str], top: float) -> dict[str, pl.DataFrame]:
    """Premiums from the top down, a table for every level."""
    premium = np.array([top])
    tables = {}
    for name, level in zip(path, reversed(levels), strict=True):
        complement = premium[level.parent]
        z = level.credibility
        premium = z * level.mean + (1 - z) * complement
        tables[name] = level.nodes.with_columns(
            weight=pl.Series(level.weight),
            mean=pl.Series(level.mean),
            credibility=pl.Series(z),
            complement=pl.Series(complement),
            premium=pl.Series(premium),
        )
    return tables


def _between(variance: Floats, mean: Floats, parent: Codes, method: Method) -> float:
    if method == "iterative":
        return pseudo_between(variance, mean, parent)
    v = 1.0 / variance
    held = np.bincount(parent, weights=v)
    centre = np.bincount(parent, weights=v * mean) / held
    children = np.bincount(parent)
    excess = np.bincount(parent, weights=v * (mean - centre[parent]) ** 2) - (children - 1)
    scale = held - np.bincount(parent, weights=v * v) / held
    some = children > 1
    if method == "ohlsson":
        return max(float(excess[some].sum() / scale[some].sum()), 0.0)
    return float(np.maximum(excess[some] / scale[some], 0.0).mean())
