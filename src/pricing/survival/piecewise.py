"""Piecewise-exponential hazards: lives cut at points of time into cells, then a Poisson model on them.

With a hazard that is constant between cut points, the likelihood of lives is that of Poisson counts of
those who leave with the time at risk as exposure (Holford 1980, Biometrics 36; Friedman 1982, Annals of
Statistics 10). Time at risk and leavers add, so no life is exploded into rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.constraints import Direction
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience
from pricing.experience.domain import listed
from pricing.experience.engines import AnyFrame
from pricing.result.shape import Basis
from pricing.survival.follow_up import follow_up
from pricing.survival.hazard_model import Bounds, HazardErrors, HazardModel, fit_on_cells

__all__ = ["PiecewiseHazard", "fit_hazard", "hazard_cells"]

INTERVAL, MIDDLE = "time_interval", "time_middle"
MEASURES = (
    *("rows", "exposure", "claims", "exposure_squared", "claims_exposure", "claims_squared"),
    *("claims_squared_per_exposure", "claims_log_rate", "log_likelihood_saturated"),
)
RESPONSE = replace(RESPONSES["frequency"], event="event", unit="units of time at risk")


class PiecewiseHazard(HazardModel):
    """A piecewise-exponential hazard by factor; see :class:`pricing.survival.hazard_model.HazardModel`."""

    kind = "piecewise_hazard"

    def survival(self, patterns: pl.DataFrame | None = None) -> pl.DataFrame:
        """Give survival at the end of each interval of time, by pattern of the other factors.

        S(t) = exp(−Σ width·hazard); interval of ln H by the delta method. The last, open interval has
        no end and is left out.

        Parameters
        ----------
        patterns : polars.DataFrame, optional
            The model's factors but those of time; base levels and means where left out.

        Returns
        -------
        polars.DataFrame
            Patterns, time, survival, lower, upper.
        """
        if patterns is None:
            own = self.details["base"] | self.details["means"]
            patterns = pl.DataFrame([{n: v for n, v in own.items() if n not in (INTERVAL, MIDDLE)}])
        cuts = np.array(self.details["cuts"])
        labels = interval_labels(self.details["cuts"])[:-1]
        known = self.details["levels"].get(INTERVAL)
        if known is not None and not set(labels) <= set(known):
            gap = [one for one in labels if one not in known]
            raise InputError(f"nobody is at risk in {gap}: survival is not known there", do="move the cuts")  # fmt: skip
        ends = np.append(0.0, cuts)
        pieces = pl.DataFrame({INTERVAL: labels, MIDDLE: (ends[1:] + ends[:-1]) / 2, "time": cuts})
        found = self.follow(patterns, pieces, np.diff(ends))
        start = found.filter(pl.col("time") == cuts[0]).with_columns(
            time=pl.lit(0.0), survival=pl.lit(1.0), lower=pl.lit(1.0), upper=pl.lit(1.0)
        )
        names = [n for n in found.columns if n not in ("time", "survival", "lower", "upper")]
        return pl.concat([start, found]).sort(*names, "time", maintain_order=True)


def interval_labels(cuts: Sequence[float]) -> list[str]:
    """Name the intervals between cut points, from 0 and with an open end.

    Examples
    --------
    >>> interval_labels([1.0, 2.5])
    ['0-1', '1-2.5', '2.5+']
    """
    ends = [0.0, *cuts]
    said = [
        np.format_float_positional(e, 12, unique=False, fractional=False, trim="-") for e in ends
    ]
    return [f"{a}-{b}" for a, b in pairwise(said)] + [f"{said[-1]}+"]


def hazard_cells(
    frame: AnyFrame,
    cuts: Sequence[float],
    by: Sequence[str] = (),
    *,
    exit: str = "exit",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    basis: Basis | None = None,
) -> Experience:
    """Cut lives at points of time into cells: time at risk as exposure, those who leave as claims.

    The cells are an experience: months and books add, and any model of claim frequency fits them,
    with its splines, monotone effects, penalties and elastic net
    (:func:`pricing.claims.models.fit_frequency` gives the same coefficients as :func:`fit_hazard`).

    Parameters
    ----------
    frame : frame of any engine
        One row per life or spell, or cells of lives.
    cuts : sequence of float
        Cut points above 0, rising, in the unit of time of ``exit``. An interval holds its end, not
        its start.
    by : sequence of str
        Factors and covariates.
    exit, event, entry, weight : str
        As :func:`pricing.survival.follow_up.follow_up` takes them.
    basis : Basis, optional
        Source, period, filters.

    Returns
    -------
    Experience
        Keys ``time_interval`` (factor), ``time_middle`` (number; of the open interval, its start and
        half the width of the one before) and ``by``. ``rows`` counts pieces of lives.

    Raises
    ------
    InputError
        For lives that cannot be followed, and cut points that are not finite, above 0 and rising.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [0.5, 3.0], "event": [1, 0]})
    >>> hazard_cells(rows, [1.0, 2.0]).cells.select("time_interval", "exposure", "claims").rows()
    [('0-1', 1.5, 1.0), ('1-2', 1.0, 0.0), ('2+', 1.0, 0.0)]
    """
    points = _cuts(cuts)
    keys = listed(by)
    require_keys(keys, (INTERVAL, MIDDLE))
    lives = follow_up(frame, keys, exit=exit, event=event, entry=entry, weight=weight)
    lives, inner = own_names(lives, keys)
    labels, ends = interval_labels(points), [0.0, *points]
    width = points[-1] - ends[-2]
    middles = [(a + b) / 2 for a, b in pairwise(ends)] + [points[-1] + width / 2]
    parts = []
    for k, (low, high) in enumerate(pairwise([*ends, float("inf")])):
        from_, to = pl.max_horizontal("entry", pl.lit(low)), pl.min_horizontal("exit", pl.lit(high))
        part = lives.filter(pl.col("exit") > low, pl.col("entry") < high).select(
            pl.lit(labels[k]).cast(pl.Enum(labels)).alias(INTERVAL),
            pl.lit(middles[k]).alias(MIDDLE), *inner, "lives", e=to - from_,
            n=pl.col("lives") * (pl.col("event") & (pl.col("exit") <= high)),
        )  # fmt: skip
        parts.append(piece_cells(part, [INTERVAL, MIDDLE, *inner]))
    own = basis or Basis(currency="")
    return Experience._of(pl.concat(parts).rename(inner), (INTERVAL, MIDDLE, *keys), own)


def require_keys(keys: Sequence[str], ours: Sequence[str]) -> None:
    """Refuse keys that have the name of a column of ours, or come twice.

    Examples
    --------
    >>> require_keys(["claims"], [])
    Traceback (most recent call last):
    pricing.errors.InputError: key 'claims' has the name of one of ours; rename the column
    """
    taken = [n for n in keys if n in (*ours, *MEASURES)]
    if taken:
        raise InputError(f"key {taken[0]!r} has the name of one of ours; rename the column")
    if len(set(keys)) < len(keys):
        raise InputError(f"a key is given twice: {', '.join(keys)}")


def own_names(lives: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Call keys by names that no column of ours has, and say how to call them back.

    Examples
    --------
    >>> own_names(pl.DataFrame({"n": [1]}), ["n"])[1]
    {'key 0': 'n'}
    """
    inner = {f"key {i}": name for i, name in enumerate(keys)}
    return lives.rename({name: own for own, name in inner.items()}), inner


def piece_cells(pieces: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Add pieces of equal lives up to the sums of an experience, as if each life had its row.

    Parameters
    ----------
    pieces : polars.DataFrame
        Keys, lives (their number), e (time at risk of each) and n (how many of them leave).
    keys : sequence of str
        What to group by.

    Examples
    --------
    >>> pieces = pl.DataFrame({"sex": ["f"], "lives": [2.0], "e": [0.5], "n": [2.0]})
    >>> piece_cells(pieces, ["sex"]).select("rows", "exposure", "exposure_squared").row(0)
    (2, 1.0, 0.5)
    """
    w, e, n = pl.col("lives"), pl.col("e"), pl.col("n")
    return pieces.group_by(keys, maintain_order=True).agg(
        rows=(w.sum() - 1e-6).ceil().cast(pl.Int64),  # parts of lives are no less than a row
        exposure=(w * e).sum(),
        claims=n.sum(),
        exposure_squared=(w * e * e).sum(),
        claims_exposure=(n * e).sum(),
        claims_squared=n.sum(),
        claims_squared_per_exposure=(n / e).sum(),
        claims_log_rate=-(n * e.log()).sum(),
        log_likelihood_saturated=-n.sum(),
    )


def fit_hazard(
    cells: Experience,
    formula: str = INTERVAL,
    *,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    errors: HazardErrors = "model",
    monotone: Mapping[str, Direction] | None = None,
    bounds: Bounds | None = None,
) -> PiecewiseHazard:
    """Fit a piecewise-exponential hazard: hazard ratios by factor and by time.

    Parameters
    ----------
    cells : Experience
        Of :func:`hazard_cells`.
    formula : str
        ``"time_interval + sex"``; ``"ns(time_middle, 3) + sex"`` smooths over time;
        ``"time_interval * sex"`` lets hazards not be proportional.
    base : mapping of str to str, optional
        Base level by factor; else the level with most time at risk.
    level : float
        Of the intervals.
    errors : {"model", "robust"}
        From the likelihood, which does not see where lives are cut; or the sandwich over pieces.
    monotone : mapping of str to {"increasing", "decreasing"}, optional
        Factors whose hazards keep the order of their levels, such as ``time_interval``.
    bounds : mapping of str to (lower, upper), optional
        Limits of a factor's hazard ratios.

    Returns
    -------
    PiecewiseHazard

    Raises
    ------
    InputError
        For cells that are not cut by time, terms that are not keys, levels without an event.

    Notes
    -----
    ln λ = x'β, D ~ Poisson(E·λ). For elastic net hand the cells to
    :func:`pricing.claims.penalised.fit_elastic_net`.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [0.5, 2.0, 1.5, 2.0], "event": [1, 0, 1, 0]})
    >>> found = fit_hazard(hazard_cells(rows, [1.0]), "time_interval", base={"time_interval": "0-1"})
    >>> found.table["hazard_ratio"].round(6).to_list()  # 1 of 3.5, then 1 of 2.5
    [0.285714, 1.0, 1.4]
    """
    if INTERVAL not in cells.factors:
        raise InputError(f"the cells have no {INTERVAL!r}", do="make them with hazard_cells")
    labels = cells.levels(INTERVAL)
    if not labels[-1].endswith("+") or len(labels) < 2:
        raise InputError(
            f"{INTERVAL!r} has the levels {labels}", do="make the cells with hazard_cells"
        )
    cuts = [float(one.partition("-")[2]) for one in labels[:-1]]
    found = fit_on_cells(
        PiecewiseHazard, cells, formula, "log", RESPONSE, base=base, level=level, errors=errors,
        monotone=monotone, bounds=bounds, details={"cuts": cuts}, facts={"intervals": len(labels)},
        notes=("piecewise-exponential hazard, Poisson on time at risk",),
    )  # fmt: skip
    # the density of the lives, which does not know where they are cut: Poisson's less Σn ln e
    value = found.facts["log_likelihood"] + float(cells.values("claims_log_rate").sum())
    facts = {"log_likelihood": value, "aic": 2 * found.facts["parameters"] - 2 * value, "bic": None}
    return replace(found, facts={**found.facts, **facts})


def _cuts(cuts: Sequence[float]) -> list[float]:
    try:
        points = [float(c) for c in cuts]
    except (TypeError, ValueError) as error:
        raise InputError(f"cut points are numbers, got {cuts!r}") from error
    rising = all(a < b for a, b in pairwise(points))
    if not points or not np.isfinite(points).all() or points[0] <= 0 or not rising:
        raise InputError(
            f"cut points are finite, above 0 and rising, got {points}",
            do="write them as [1, 2, 5]; 0 and the open end are added",
        )
    if len({f"{p:.12g}" for p in points}) < len(points):
        raise InputError(f"cut points that agree in 12 digits: {points}", do="take fewer of them")
    return points
