"""The book over the years to come: premium, claims, loss ratio, members and discount, with their bands.

Members stand in groups and, unseen, in classes of latent health, so that selection by lapse and the
drift of health to the mean are in the figures. A year: premium and claims of those in force; then moves
of group, rate change, renewal by price, new business. Everyone is in force for the whole year.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.health.book_now import StartBook, start_book
from pricing.health.course import Course, follow
from pricing.health.gaming import Gaming
from pricing.health.moves import GroupMoves
from pricing.health.outlook import Outlook
from pricing.result.series import band_figure, flow_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["Projection", "banded", "project_book", "require_run"]

LARGEST = 60_000_000  # figures held at once, some 0.5 GB for each of a few copies


class Projection(Result):
    """Premium, claims, loss ratio and members by year."""

    kind = "projection"

    def finding(self, lang: Language = "en") -> str:
        """Say loss ratio, members and mean discount of the first and the last year."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the loss ratio by year in its band, over the members."""
        t = self.table
        figure = band_figure(
            t["projection_year"].to_list(),
            t["loss_ratio"].to_list(),
            t["loss_ratio_lower"].to_list(),
            t["loss_ratio_upper"].to_list(),
            points=None,
            points_name="loss_ratio",
            name="loss_ratio",
            factor="projection_year",
            lang=lang,
            bars=t["members"].to_list(),
            bars_name="members",
        )
        return figure.update_layout(yaxis={"tickformat": ".0%"}, xaxis={"dtick": 1})

    def flows(self, year: int, lang: Language = "en") -> go.Figure:
        """Draw the members flowing between groups from a year to the next, with those who come and go."""
        flows = self.frames["flows"].filter(pl.col("projection_year") == year)
        if flows.is_empty():
            raise InputError(f"no flows after year {year} in this projection")
        return flow_figure(flows, self.details["groups"], lang)


def project_book(
    book: pl.DataFrame,
    outlook: Outlook,
    *,
    years: int = 10,
    segment: str | None = None,
    gaming: Gaming | None = None,
    draws: int = 500,
    seed: int = 1,
    level: float = 0.90,
    source: str = "",
    currency: str = "CNY",
) -> Projection:
    """Project the book by group and, where wanted, segment.

    Parameters
    ----------
    book : polars.DataFrame
        health_group, members, standard_premium, claims_cost (and the segment): those in force at the
        start and what a year of them is expected to cost, claims at the level of the first year.
    outlook : Outlook
        Discounts, relativities, moves, renewal, trend, expenses, with their errors.
    years : int
        From 1 to 60.
    segment : str, optional
        Column of the book.
    gaming : Gaming, optional
        A stress: discounts without claims effect.
    draws : int
        Draws of the parameters for the bands, 0 for none, else 2 or more; the estimate is the expectation at the
        parameters as estimated, not a mean of draws.
    seed : int
        Of the draws.
    level : float
        Of the bands.

    Returns
    -------
    Projection
        ``.table``: projection_year, members, new_members, lapsed, other_exits (who come at its start
        and leave at its end), premium_charged, claims_cost, loss_ratio, mean_discount, top_share (of
        members in the two highest groups, as shown), rate_change, expenses, operating_margin, each of
        the money figures, loss ratio and members with a band (``_lower``, ``_upper``).
        ``.frames``: ``groups`` (by year and group), ``flows`` (members between groups from a year to
        the next, with lapse and new business), ``premium_changes`` (distribution over those offered
        renewal: mean, 5th, 50th, 95th percentile; discount_lost_p95), ``by_segment``.

    Raises
    ------
    InputError
        For a book, outlook or options that cannot be used.

    Notes
    -----
    Claims of class z in group g: A·c(z)·e_g·(1 + trend)^(t−1), c(z) = exp(−βz) goes with the life and
    e_g stays with the group. β is fitted by weighted least squares to the logs of the relativities given
    who is where (:class:`pricing.health.latent_health.LatentHealth`), e_g is what is left, and the level
    meets the book's claims. Bands: parameters drawn from their laws (relativities lognormal, moves
    Dirichlet, renewal and trend normal), quantiles over the draws; the claims of single years vary more.

    Examples
    --------
    >>> from pricing.health.price_response import PriceResponse
    >>> book = pl.DataFrame({"health_group": ["G0", "G1"], "members": [50, 50],
    ...     "standard_premium": [50.0, 50.0], "claims_cost": [35.0, 35.0]})
    >>> outlook = Outlook(discounts={"G0": 0.0, "G1": 0.2}, relativities={"G0": 1.0, "G1": 1.0},
    ...                   moves=np.eye(2), response=PriceResponse.elastic(retention=0.9, elasticity=0.0))
    >>> projection = project_book(book, outlook, years=2, draws=0)
    >>> projection.table.select(pl.col("members", "loss_ratio").round(6)).rows()
    [(100.0, 0.777778), (90.0, 0.777778)]
    """
    start = require_run(
        book, outlook, years=years, segment=segment, draws=draws, seed=seed, level=level
    )
    top = min(gaming.top if gaming else 2, len(outlook.groups))
    course = follow(start, outlook, years=years, draws=draws + 1, seed=seed, top=top, gaming=gaming)
    table = _table(course, level, draws)
    first, last = table.row(0, named=True), table.row(-1, named=True)
    facts: dict[str, Any] = {
        "years": years, "draws": draws, "seed": seed, "level": level, "currency": currency,
        "slope": float(course.slope[0]),
    }  # fmt: skip
    kept = ("loss_ratio", "loss_ratio_lower", "loss_ratio_upper", "members", "mean_discount")
    for name, row in (("first", first), ("last", last)):
        facts |= {f"{name}_{k}": row[k] for k in (*kept, "premium_charged", "top_share")}
    facts["margin_total"] = float(course.margin[:, 0].sum())
    facts["rate_level"] = float(np.prod(1 + table["rate_change"].to_numpy()))
    notes: tuple[str, ...] = (
        "those in force at the start of a year are covered for the whole of it",
        "bands: errors of the parameters only" if draws else "no bands: expectation only",
        f"latent health: {outlook.latent.classes} classes, persistence "
        f"{outlook.latent.persistence:g}, reliability {outlook.latent.reliability:g}",
    )
    if 0 < draws * (1 - level) / 2 < 1:
        notes = (
            *notes,
            f"{draws} draws are too few for a band of {level:.0%}: its ends are theirs",
        )
    if outlook.rates.gate and (table["rate_change"] != 0).any():
        notes = (*notes, "the gate opens or shuts by the loss ratio of the year before: the estimate is "
                 "one path of steps, the band holds the others")  # fmt: skip
    basis = Basis(
        source=source, exposure=float(start.members.sum()), currency=currency, notes=notes,
        fingerprint=_marked(start, outlook, years, gaming, draws, seed, level),
    )  # fmt: skip
    frames = {
        "groups": _groups(course, outlook),
        "flows": _flows(course, outlook),
        "premium_changes": _changes(course),
    }
    if segment is not None:
        frames["by_segment"] = _segments(course, start)
    return Projection(
        table=table, basis=basis, facts=facts, frames=frames,
        details={"groups": list(outlook.groups)},
    )  # fmt: skip


def require_run(
    book: pl.DataFrame,
    outlook: Outlook,
    *,
    years: int,
    segment: str | None,
    draws: int,
    seed: int,
    level: float,
) -> StartBook:
    """Refuse what no projection can run on, and read the book it starts from.

    Examples
    --------
    >>> require_run(pl.DataFrame(), None, years=2, segment=None, draws=0, seed=1, level=0.9)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: the outlook is a NoneType
      do: give an Outlook
    """
    for name, x, low, high in (("years", years, 1, 60), ("draws", draws, 0, 20_000)):
        if isinstance(x, bool) or not isinstance(x, int) or not low <= x <= high:
            raise InputError(f"{name} must be a whole number from {low} to {high}, got {x!r}")
    whole = isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
    if not whole or not isinstance(level, int | float) or not 0 < level < 1:
        raise InputError(
            f"seed is a whole number from 0 and level lies between 0 and 1: {seed!r}, {level!r}"
        )
    if draws == 1:
        raise InputError("one draw has no band", do="ask for 0, or for some hundreds")
    if not isinstance(outlook, Outlook):
        raise InputError(f"the outlook is a {type(outlook).__name__}", do="give an Outlook")
    start = start_book(book, outlook.groups, segment=segment)
    size = 3 * (draws + 1) * len(start.segments) * outlook.latent.classes * len(outlook.groups) ** 2
    if size > LARGEST:
        raise InputError(
            f"{draws:,} draws of {len(start.segments)} segments need {size:,} figures a year, more than "
            f"{LARGEST:,}",
            do="ask for fewer draws, segments or classes of health",
        )
    return start


def banded(name: str, values: Floats, level: float, draws: int) -> dict[str, Floats]:
    """Give the estimate and the band of figures (years, 1 + draws).

    Examples
    --------
    >>> {k: v.tolist() for k, v in banded("x", np.array([[2.0, 1.0, 3.0]]), 0.9, 2).items()}
    {'x': [2.0], 'x_lower': [1.1], 'x_upper': [2.9]}
    """
    found = {name: values[:, 0]}
    tail = (1 - level) / 2
    drawn = values[:, 1:] if draws else values[:, :1]
    found[f"{name}_lower"] = np.quantile(drawn, tail, axis=1)
    found[f"{name}_upper"] = np.quantile(drawn, 1 - tail, axis=1)
    return found


def _table(course: Course, level: float, draws: int) -> pl.DataFrame:
    columns: dict[str, Any] = {"projection_year": np.arange(1, len(course.premium) + 1)}
    columns |= banded("members", course.members, level, draws)
    for name in ("new_members", "lapsed", "other_exits"):
        columns[name] = getattr(course, name)[:, 0]
    columns |= banded("premium_charged", course.premium, level, draws)
    columns |= banded("claims_cost", course.claims, level, draws)
    columns |= banded("loss_ratio", course.claims / course.premium, level, draws)
    columns["mean_discount"] = 1 - course.premium[:, 0] / course.standard[:, 0]
    columns["top_share"] = course.top_share[:, 0]
    columns["rate_change"] = course.rate_change[:, 0]
    columns["expenses"] = course.expenses[:, 0]
    columns |= banded("operating_margin", course.margin, level, draws)
    return pl.DataFrame(columns)


def _groups(course: Course, outlook: Outlook) -> pl.DataFrame:
    years, n = course.group_members.shape
    premium, claims = course.group_premium, course.group_claims
    return pl.DataFrame(
        {
            "projection_year": np.repeat(np.arange(1, years + 1), n),
            "health_group": list(outlook.groups) * years,
            "members": course.group_members.ravel(),
            "group_share": (
                course.group_members / course.group_members.sum(axis=1, keepdims=True)
            ).ravel(),
            "premium_charged": premium.ravel(),
            "claims_cost": claims.ravel(),
            "loss_ratio": np.divide(
                claims, premium, out=np.full(premium.shape, np.nan), where=premium > 0
            ).ravel(),
        }
    ).with_columns(pl.col("loss_ratio").fill_nan(None))


def _flows(course: Course, outlook: Outlook) -> pl.DataFrame:
    """Members from group to group; those who leave and those who come have ends of their own."""
    n, years = len(outlook.groups), len(course.flows)
    before = [*outlook.groups, "new_business"]
    after = [*outlook.groups, "lapse", "other_exit"]
    wide = np.zeros((years, n + 1, n + 2))
    wide[:, :n, :n] = course.flows
    wide[:, :n, n] = course.flow_lapsed
    wide[:, :n, n + 1] = course.flow_exits
    wide[:, n, :n] = course.flow_new
    return pl.DataFrame(
        {
            "projection_year": np.repeat(np.arange(1, years + 1), (n + 1) * (n + 2)),
            "from_group": np.repeat(before, n + 2).tolist() * years,
            "to_group": after * (n + 1) * years,
            "members": wide.ravel(),
        },
        schema_overrides={
            "projection_year": pl.Int64,
            "from_group": pl.String,
            "to_group": pl.String,
        },
    )


def _changes(course: Course) -> pl.DataFrame:
    """Premium change offered to those in force, by weighted percentiles over groups before and after."""
    rows = []
    for year, (weight, change, lost) in enumerate(course.offers, start=2):
        w, c, d = weight.ravel(), change.ravel(), lost.ravel()
        rows.append(
            {
                "projection_year": year,
                "mean_change": float(w @ c / w.sum()),
                "change_p5": _quantile(c, w, 0.05),
                "change_p50": _quantile(c, w, 0.50),
                "change_p95": _quantile(c, w, 0.95),
                "discount_lost_p95": _quantile(d, w, 0.95),
            }
        )
    names = ("mean_change", "change_p5", "change_p50", "change_p95", "discount_lost_p95")
    return pl.DataFrame(
        rows, schema={"projection_year": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    )


def _segments(course: Course, start: StartBook) -> pl.DataFrame:
    years, n = course.segment_members.shape
    return pl.DataFrame(
        {
            "projection_year": np.repeat(np.arange(1, years + 1), n),
            "segment": list(start.segments) * years,
            "members": course.segment_members.ravel(),
            "premium_charged": course.segment_premium.ravel(),
            "claims_cost": course.segment_claims.ravel(),
            "loss_ratio": (course.segment_claims / course.segment_premium).ravel(),
        }
    )


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    at = int(np.searchsorted(total, share * total[-1] * (1 - 1e-12)))
    return float(values[order][min(at, len(values) - 1)])


def _marked(start: StartBook, outlook: Outlook, *more: object) -> str:
    given = outlook.moves
    moves = given.table["weight"].to_numpy() if isinstance(given, GroupMoves) else given
    arrays = (start.members, start.premium, start.claims, np.asarray(moves, dtype=float))
    said: Mapping[str, Any] = {k: v for k, v in vars(outlook).items() if k != "moves"}
    return fingerprint(*(a.tobytes() for a in arrays), repr(said), repr(more))
