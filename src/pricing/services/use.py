"""How often services are used, counted from rows, with intervals that bear heavy users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import chi2, gamma

from pricing.errors import InputError, nearest
from pricing.experience.bands import band, band_labels
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.experience.events import place_claims
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ServiceUse", "service_use"]

AGE_EDGES = (0, 18, 30, 40, 50, 60, 70)
_MEMBER = "member_row"


class ServiceUse(Result):
    """Uses and cost per insured-year by service, age band and sex, with robust intervals."""

    kind = "service_use"

    def finding(self, lang: Language = "en") -> str:
        """Say it in one sentence, services by their names in the language."""
        named = {"dearest": level_label(self.facts["dearest"], lang)}
        return say(f"finding.{self.kind}", lang, **{**self.facts, **named})

    @property
    def services(self) -> list[str]:
        """Services seen, in order.

        Examples
        --------
        >>> len(ServiceUse(table=pl.DataFrame({"service": ["a", "a"]})).services)
        1
        """
        return self.table["service"].unique(maintain_order=True).to_list()

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw uses per insured-year by age band, one line of intervals per service, sexes together."""
        figure = go.Figure(layout={"template": "pricing"})
        every = self.frames["bands"]
        for one, (colour, symbol) in zip(self.services, SERIES * 3, strict=False):
            part = every.filter(pl.col("service") == one)
            rate = part["use_rate"]
            figure.add_scatter(
                x=part["age_band"].cast(pl.String).to_list(),
                y=rate.to_list(),
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": (part["rate_upper"] - rate).to_list(),
                    "arrayminus": (rate - part["rate_lower"]).to_list(),
                },
                mode="lines+markers",
                name=level_label(one, lang),
                marker={"symbol": symbol, "size": 9, "color": colour},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("age_band", lang)}, "type": "category"},
            yaxis={"title": {"text": label("use_rate", lang)}, "rangemode": "tozero"},
        )


def service_use(
    members: pl.DataFrame,
    uses: pl.DataFrame,
    *,
    services: Sequence[str],
    start: date,
    end: date,
    edges: Sequence[int] = AGE_EDGES,
    level: float = 0.95,
    source: str = "",
    currency: str = "CNY",
) -> ServiceUse:
    """Count how often each service is used, by age and sex, and what a use costs.

    Parameters
    ----------
    members : polars.DataFrame
        ``policy_id``, ``birth_date``, ``sex``, ``start``, ``end`` (half-open): the contract
        ``service_members``.
    uses : polars.DataFrame
        ``policy_id``, ``service``, ``day``, ``cost``: the contract ``service_uses``.
    services : sequence of str
        Services of the plan; one that nobody used has a rate of 0 with its upper limit.
    start, end : date
        First day observed and the day after the last.
    edges : sequence of int
        Lower ages of the bands.
    level : float
        Of the intervals.

    Returns
    -------
    ServiceUse
        ``.table`` by service, age_band, sex: exposure, uses, use_rate with rate_lower, rate_upper,
        use_dispersion (variance over that of a Poisson), unit_cost_seen, cost_per_insured with
        cost_lower, cost_upper. ``.frames["bands"]`` sexes together; ``.frames["unmatched"]`` uses
        outside cover or the window, per reason; ``.frames["together"]`` the covariance of the rates of
        two services, whose heavy users are often the same. Only cells with exposure.

    Raises
    ------
    InputError
        For no members, services named twice, uses of a service the plan does not have, and what
        :func:`pricing.experience.split.split_exposure` refuses.

    Notes
    -----
    A row is a member in an age band: n uses over exposure e. rate λ = Σn/Σe; its variance is the
    larger of Poisson Σn/E² and the robust Σ(n − λe)²/E², so heavy users widen it. The interval is
    the gamma one of Fay and Feuer (1997), Statistics in Medicine 16, which for Poisson counts is the
    exact interval of Garwood (1936). Cost per insured-year: Σcost/E with robust variance
    Σ(cost − c·e)²/E² and a gamma of that mean and variance; none where nobody used the service.

    Examples
    --------
    >>> members = pl.DataFrame({"policy_id": ["a", "b"], "birth_date": [date(1980, 1, 1)] * 2,
    ...                         "sex": ["male"] * 2, "start": [date(2023, 1, 1)] * 2,
    ...                         "end": [date(2024, 1, 1)] * 2})
    >>> uses = pl.DataFrame({"policy_id": ["a"], "service": ["购药"], "day": [date(2023, 5, 1)],
    ...                      "cost": [20.0]})
    >>> found = service_use(members, uses, services=["购药"], start=date(2023, 1, 1), end=date(2024, 1, 1))
    >>> found.table.select("age_band", "uses").row(0), round(found.table["use_rate"].item(), 3)
    (('40-49', 1), 0.5)
    """
    names = [services] if isinstance(services, str) else list(services)
    _require(members, uses, names, edges, level)
    lexis = Lexis(start=start, end=end, dims=["age"])
    rows = members.with_row_index(_MEMBER).with_columns(pl.col(_MEMBER).cast(pl.Int64))
    keys = [_MEMBER, "sex"]
    exposed = split_exposure(rows, keys, lexis).cells.select(*keys, "age", "exposure")
    exposed = exposed.with_columns(age_band=band("age", edges))
    if young := exposed["age_band"].null_count():
        raise InputError(
            f"{young:,} members have ages below the first band, {edges[0]}",
            do="begin the edges at the youngest age",
        )
    cell = [_MEMBER, "sex", "age_band"]
    exposed = exposed.group_by(cell, maintain_order=True).agg(pl.col("exposure").sum())
    dated = uses.rename({"day": "incurred"}).with_columns(
        pl.col("service").cast(pl.String), pl.col("cost").cast(pl.Float64)
    )
    aside: list[pl.DataFrame] = []
    person_rows: list[pl.DataFrame] = []
    for one in names:  # a handful of services, each a pass over its own uses
        mine = dated.filter(pl.col("service") == one).drop("service")
        placed = place_claims(mine, rows, keys, lexis, amount="cost")
        aside.append(placed.unmatched.select("reason", service=pl.lit(one)))
        counted = placed.experience.cells.with_columns(age_band=band("age", edges))
        counted = counted.group_by(cell, maintain_order=True).agg(
            uses=pl.col("claims").sum(), cost=pl.col("amount").sum()
        )
        person_rows.append(
            exposed.with_columns(pl.col("sex").cast(pl.String))
            .join(
                counted.with_columns(pl.col("sex").cast(pl.String)),
                on=cell,
                how="left",
                maintain_order="left",
            )
            .with_columns(pl.col("uses", "cost").fill_null(0), service=pl.lit(one))
        )
    beside = _beside(exposed, person_rows, names)
    every = pl.concat(person_rows).with_columns(
        pl.col("service").cast(pl.Enum(names)), pl.col("sex").cast(pl.Enum(["female", "male"]))
    )
    seen = Experience.collect(
        every, ["service", "age_band", "sex"], claims="uses", amount="cost",
        basis=Basis(source=source, period=f"{start} – {end}", currency=currency),
    )  # fmt: skip
    table, bands, total = (
        _rates(seen.by(*by), list(by), level)
        for by in (("service", "age_band", "sex"), ("service", "age_band"), ("service",))
    )
    unmatched = (
        pl.concat(aside)
        .group_by("service", "reason", maintain_order=True)
        .agg(uses=pl.len().cast(pl.Int64))
    )
    most = total.sort("cost_per_insured", descending=True).row(0, named=True)
    facts: dict[str, Any] = {
        "services": len(names),
        "members": members.height,
        "uses": int(total["uses"].sum()),
        "unmatched": int(unmatched["uses"].sum()),
        "cost_per_insured": float(total["cost_per_insured"].sum()),
        "dearest": most["service"],
        "dearest_cost": most["cost_per_insured"],
        "dearest_lower": most["cost_lower"] or 0.0,  # nothing is known where nobody used any
        "dearest_upper": most["cost_upper"] or 0.0,
        "dispersion": float(total["use_dispersion"].max()),  # type: ignore[arg-type]
        "level": level,
    }
    basis = replace(
        seen.basis,
        rows=members.height,
        exposure=float(exposed["exposure"].sum()),
        fingerprint=fingerprint(seen.basis.fingerprint, repr((names, list(edges), level))),
        notes=("a row is a member in an age band; intervals are robust to heavy users",),
    )
    frames = {"bands": bands, "services": total, "unmatched": unmatched, "together": beside}
    return ServiceUse(table=table, basis=basis, facts=facts, frames=frames)


def gamma_interval(
    rate: np.ndarray, variance: np.ndarray, one: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a rate from its variance; ``one`` is what one more event adds to the rate."""
    low, high = (1 - level) / 2, (1 + level) / 2
    some = (rate > 0) & (variance > 0)
    safe_rate, safe = np.where(some, rate, 1.0), np.where(some, variance, 1.0)
    lower = safe / (2 * safe_rate) * chi2.ppf(low, 2 * safe_rate**2 / safe)
    up, spread = rate + one, variance + one**2
    upper = spread / (2 * up) * chi2.ppf(high, 2 * up**2 / spread)
    return np.where(some, lower, 0.0), upper


def _beside(exposed: pl.DataFrame, parts: list[pl.DataFrame], names: list[str]) -> pl.DataFrame:
    """Covariance of the rates of every two services over the members: Σ(n − λe)(m − μe)/E²."""
    wide = exposed.select(
        "age_band", pl.col("sex").cast(pl.String), pl.col("exposure").alias("e"),
        *(part["uses"].cast(pl.Float64).alias(f"n{i}") for i, part in enumerate(parts)),
    )  # fmt: skip
    e = pl.col("e")
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    left = [pl.col(f"n{i}") - pl.col(f"n{i}").sum() / e.sum() * e for i in range(len(names))]
    summed = wide.group_by("age_band", "sex", maintain_order=True).agg(
        (left[i] * left[j]).sum().truediv(e.sum() ** 2).alias(f"{i} {j}") for i, j in pairs
    )
    text = pl.String()
    schema = pl.Schema({
        "age_band": wide.schema["age_band"], "sex": text, "service": text, "service_beside": text,
        "use_covariance": pl.Float64(),
    })  # fmt: skip
    told = [
        summed.select(
            "age_band", "sex", service=pl.lit(names[i]), service_beside=pl.lit(names[j]),
            use_covariance=pl.col(f"{i} {j}"),
        )
        for i, j in pairs
    ]  # fmt: skip
    return pl.concat([pl.DataFrame(schema=schema), *told])


def _rates(seen: Experience, keys: list[str], level: float) -> pl.DataFrame:
    e, n, ee, ne, nn, cost = (
        seen.values(name)
        for name in ("exposure", "claims", "exposure_squared", "claims_exposure",
                     "claims_squared", "amount")
    )  # fmt: skip
    aa, ae = seen.values("amount_squared"), seen.values("amount_exposure")
    rate, c = n / e, cost / e
    poisson = n / e**2
    robust = np.maximum(nn - 2 * rate * ne + rate**2 * ee, 0) / e**2
    lower, upper = gamma_interval(rate, np.maximum(poisson, robust), 1 / e, level)
    spread = np.maximum(aa - 2 * c * ae + c**2 * ee, 0) / e**2
    some = (c > 0) & (spread > 0)
    shape, scale = np.where(some, c**2, 1) / np.where(some, spread, 1), np.where(some, spread, 1)
    scale = scale / np.where(some, c, 1)
    ends = [gamma.ppf(p, shape, scale=scale) for p in ((1 - level) / 2, (1 + level) / 2)]
    return seen.cells.select(
        *(pl.col(key).cast(pl.String) if key == "service" else pl.col(key) for key in keys),
        "exposure",
        uses=pl.col("claims").cast(pl.Int64),
    ).with_columns(
        use_rate=rate,
        rate_lower=lower,
        rate_upper=upper,
        rate_variance=np.maximum(poisson, robust),
        use_dispersion=np.where(
            n > 0, np.maximum(robust, poisson) / np.maximum(poisson, 1e-300), 1.0
        ),
        unit_cost_seen=pl.Series(np.where(n > 0, cost / np.maximum(n, 1), np.nan)).fill_nan(None),
        cost_per_insured=c,
        cost_lower=pl.Series(np.where(some, ends[0], np.nan)).fill_nan(None),
        cost_upper=pl.Series(np.where(some, ends[1], np.nan)).fill_nan(None),
    )


def _require(
    members: pl.DataFrame,
    uses: pl.DataFrame,
    names: list[str],
    edges: Sequence[int],
    level: float,
) -> None:
    band_labels(edges)
    require_columns(["policy_id", "birth_date", "sex", "start", "end"], members.columns)
    require_columns(["policy_id", "service", "day", "cost"], uses.columns)
    faults = [] if names else ["no service is named"]
    faults += [
        f"service {name!r} is named twice" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    if not members.height:
        faults.append("there are no members")
    if not is_number(level) or not 0 < level < 1:
        faults.append(f"the level must lie above 0 and below 1, got {level!r}")
    if uses.height and not uses.schema["cost"].is_numeric():
        faults.append(f"'cost' is {uses.schema['cost']}, not a number")
    unknown = uses.filter(~pl.col("service").cast(pl.String).is_in(names).fill_null(False))
    few = unknown["service"].cast(pl.String).unique(maintain_order=True).head(5).to_list()
    faults += [
        f"service {name!r} is used and not in the plan"
        + (nearest(name, names) if name else "; it is empty")
        for name in few
    ]
    if few:
        faults.append(f"{unknown.height:,} of {uses.height:,} uses are of services not in the plan")
    if faults:
        raise InputError(
            "uses that cannot be counted", faults=faults,
            do="name every service of the rows in the plan, at no cost where it is not priced",
        )  # fmt: skip
