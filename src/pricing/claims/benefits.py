"""Several benefits at once: a pure premium each, and their total with its own interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.claims.parts import Compound, packed, require_inference
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.rating import RatingModel, array, listed
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis
from pricing.result.words import Language, level_label, say

__all__ = ["Benefits", "collect_benefits", "fit_benefits"]

TOGETHER = "amount_with_"
BOUND = (
    "the interval of the total adds the benefits' standard errors, as if they erred together: at "
    "least as wide as the truth"
)
EXACT = "the interval of the total takes in the covariance of the benefits' amounts by row"


class Benefits(Compound):
    """Pure premiums of several benefits that add up.

    ``.table``: benefit (the last is the total), amount observed, expected_amount, pure_premium
    with lower and upper, share. ``.frames["levels"]``: the total by level of every factor: term,
    level, exposure, amount, expected_amount, pure_premium.
    """

    kind = "benefits"

    def _joined(self, rates: Mapping[str, pl.Expr]) -> pl.Expr:
        return pl.sum_horizontal(rates.values())

    def interval(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add ``rate``, ``lower`` and ``upper``: the interval of the expected total of every row.

        On the log scale, from the variance of the sum Σ_bc μ_b μ_c x'V_bc x; where the cells did
        not carry the products of amounts, from (Σ_b μ_b s_b)², which is never less.
        """
        parts = self.parts
        require_inference(parts)
        scored = self.score(frame)
        means = {n: part.score(frame)["rate"].to_numpy() for n, part in parts.items()}
        total = np.sum(list(means.values()), axis=0)
        gradients = {n: means[n][:, None] * part.values(frame) for n, part in parts.items()}
        reach = float(ndtri(0.5 + self.facts["level"] / 2)) * self._error(gradients) / total
        return scored.with_columns(
            lower=pl.Series(total * np.exp(-reach)), upper=pl.Series(total * np.exp(reach))
        )

    def _error(self, gradients: Mapping[str, Floats]) -> Floats:
        """Standard error of a sum over benefits, from its gradient in each one's coefficients."""
        return _sum_error(self.parts, self.details["cross"], gradients)

    def finding(self, lang: Language = "en") -> str:
        """Say what the benefits cost together and which is the largest."""
        facts = {**self.facts, "largest": level_label(self.facts["largest"], lang)}
        return say("finding.benefits", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the pure premium of every benefit and of their total, with intervals."""
        t = self.table
        return interval_figure(
            t["benefit"].to_list(),
            t["pure_premium"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="pure_premium",
            factor="benefit",
            lang=lang,
        )


def collect_benefits(
    frame: pl.DataFrame | pl.LazyFrame,
    keys: list[str],
    amounts: Mapping[str, str],
    *,
    exposure: str = "exposure",
    claims: Mapping[str, str] | None = None,
    basis: Basis | None = None,
) -> dict[str, Experience]:
    """Collect an experience per benefit, with the products of amounts that a total needs.

    Parameters
    ----------
    frame : polars DataFrame or LazyFrame
        One row per person-year, an amount column per benefit.
    keys : list of str
        Factors and covariates.
    amounts : mapping of str to str
        Amount column by benefit.
    exposure : str
        Column of policy-years.
    claims : mapping of str to str, optional
        Claims column by benefit; else a row with an amount counts as one claim.
    basis : Basis, optional
        Source, period, filters, currency.

    Raises
    ------
    InputError
        As :meth:`pricing.experience.cells.Experience.collect`; for fewer than two benefits.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [1.0, 1.0], "out": [3.0, 0.0], "in": [5.0, 7.0]})
    >>> both = collect_benefits(rows, ["sex"], {"outpatient": "out", "inpatient": "in"})
    >>> both["inpatient"].cells["amount_with_outpatient"].to_list()
    [15.0, 0.0]
    """
    if len(amounts) < 2:
        raise InputError(f"{len(amounts)} benefit(s) do not add up", do="name two or more")
    lazy, found = frame.lazy(), {}
    schema = lazy.collect_schema()
    absent = [c for c in amounts.values() if c not in schema]
    if absent:
        raise InputError(
            "amounts that are missing",
            faults=[f"{c!r}{nearest(c, schema.names())}" for c in absent],
        )
    for name, column in amounts.items():
        own = pl.col(column).cast(pl.Float64)
        products = {
            f"{TOGETHER}{other}": own * pl.col(c).cast(pl.Float64)
            for other, c in amounts.items()
            if other != name
        }
        rows = lazy.with_columns(**products)
        if claims is None:
            rows = rows.with_columns(_claims=(own > 0).cast(pl.Int64))
        found[name] = Experience.collect(
            rows,
            keys,
            exposure=exposure,
            claims="_claims" if claims is None else claims[name],
            amount=column,
            sums=list(products),
            basis=basis,
        )
    return found


def fit_benefits(
    experiences: Mapping[str, Experience],
    formula: str | Mapping[str, str],
    *,
    power: float | Mapping[str, float] = 1.5,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> Benefits:
    """Fit a Tweedie pure premium per benefit, and their total.

    Parameters
    ----------
    experiences : mapping of str to Experience
        By benefit, of the same people; from :func:`collect_benefits` the total has its exact
        interval, else a bound that the basis names.
    formula : str or mapping of str to str
        Of all, or by benefit.
    power : float or mapping of str to float
        Of all, or by benefit; see :func:`pricing.claims.pure_premium.fit_pure_premium`.
    base : mapping of str to str, optional
        Base level by factor.
    level : float
        Confidence level.

    Returns
    -------
    Benefits
        Errors are robust.

    Raises
    ------
    InputError
        For fewer than two benefits, exposures that differ between them, and as each fit, with the
        benefit named.

    Notes
    -----
    With u_b = x(a_b − eμ_b)μ_b¹⁻ᵖ the score of a row, Cov(β_b, β_c) = A_b⁻¹ (Σ u_b u_c') A_c⁻¹: the
    sandwich of the stacked equations (Huber 1967). Σ(a_b − eμ_b)(a_c − eμ_c) over a cell's rows
    needs Σa_b a_c, Σa_b e and Σe².

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"] * 3, "exposure": 1.0, "out": [3.0, 1.0] * 3, "in": [4.0, 0.0, 5.0, 7.0, 9.0, 2.0]})
    >>> both = collect_benefits(rows, ["sex"], {"outpatient": "out", "inpatient": "in"})
    >>> fit_benefits(both, "sex").table["pure_premium"].round(6).to_list()
    [2.0, 4.5, 6.5]
    """
    if len(experiences) < 2:
        raise InputError(f"{len(experiences)} benefit(s) do not add up", do="name two or more")
    exposures = {name: e.basis.exposure for name, e in experiences.items()}
    least, most = min(exposures.values()), max(exposures.values())
    if most - least > 1e-9 * most:
        raise InputError(
            "the benefits are not of the same people: their exposures differ",
            faults=[f"{name}: {e:,.1f} policy-years" for name, e in exposures.items()],
        )
    parts: dict[str, RatingModel] = {}
    for name, seen in experiences.items():
        try:
            parts[name] = fit_pure_premium(
                seen,
                formula if isinstance(formula, str) else formula[name],
                power=power if isinstance(power, (int, float)) else power[name],
                base=base,
                level=level,
            )
        except InputError as error:
            raise InputError(error.problem, where=name, do=error.do, faults=error.faults) from error
    cross = _cross(experiences, parts)
    details, frames = packed(parts)
    details["cross"] = {pair: listed(v) for pair, v in cross.items()}
    table, levels = _tables(experiences, parts, details["cross"], level)
    total = table.row(-1, named=True)
    largest = table[:-1].sort("amount", descending=True, maintain_order=True).row(0, named=True)
    first = next(iter(parts.values()))
    basis = replace(
        first.basis,
        claims=float(sum(e.basis.claims for e in experiences.values())),
        fingerprint=fingerprint(*(part.basis.fingerprint for part in parts.values())),
        notes=tuple(
            dict.fromkeys(
                [*(n for p in parts.values() for n in p.basis.notes), EXACT if cross else BOUND]
            )
        ),
    )
    facts = {
        "count": len(parts),
        "level": level,
        **{name: total[name] for name in ("pure_premium", "lower", "upper")},
        "largest": largest["benefit"],
        "share": largest["share"],
    }
    frames["levels"] = levels
    return Benefits(table=table, basis=basis, facts=facts, frames=frames, details=details)


def _cross(
    experiences: Mapping[str, Experience], parts: Mapping[str, RatingModel]
) -> dict[str, Floats]:
    """Robust covariance of the coefficients of every pair of benefits; none where not carried."""
    names = list(parts)
    first = experiences[names[0]]
    for name in names:
        wanted = {f"{TOGETHER}{other}" for other in names if other != name}
        seen = experiences[name]
        if seen.keys != first.keys or not wanted <= set(seen.cells.columns):
            return {}
        if not seen.cells.select(seen.keys).equals(first.cells.select(first.keys)):
            return {}
    found = {}
    e2 = first.values("exposure_squared")
    means = {n: first.cells.select(p.rate()).to_series().to_numpy() for n, p in parts.items()}
    for k, b in enumerate(names):
        for c in names[k + 1 :]:
            one, other = experiences[b], experiences[c]
            residuals = (
                one.values(f"{TOGETHER}{c}")
                - means[c] * one.values("amount_exposure")
                - means[b] * other.values("amount_exposure")
                + means[b] * means[c] * e2
            )
            for name in (b, c):
                residuals = residuals * means[name] ** (1 - parts[name].details["power"])
            x, y = parts[b].values(one.cells), parts[c].values(other.cells)
            breads = [_narrow(parts[n].bread, parts[n]) for n in (b, c)]
            found[f"{b}|{c}"] = breads[0] @ (x.T @ (residuals[:, None] * y)) @ breads[1]
    return found


def _narrow(wide: Floats, part: RatingModel) -> Floats:
    kept = np.flatnonzero(np.isfinite(part.coefficients))
    return wide[np.ix_(kept, kept)]


def _sum_error(
    parts: Mapping[str, RatingModel], cross: Mapping[str, object], gradients: Mapping[str, Floats]
) -> Floats:
    own = {
        n: np.einsum("ij,jk,ik->i", g, _narrow(parts[n].covariance("robust"), parts[n]), g)
        for n, g in gradients.items()
    }
    if not cross:
        return np.asarray(np.sum([np.sqrt(np.maximum(v, 0)) for v in own.values()], axis=0))
    square = np.sum(list(own.values()), axis=0)
    for pair, v in cross.items():
        b, c = pair.split("|")
        square = square + 2 * np.einsum("ij,jk,ik->i", gradients[b], array(v), gradients[c])
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def _tables(
    experiences: Mapping[str, Experience],
    parts: Mapping[str, RatingModel],
    cross: Mapping[str, object],
    level: float,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    z, rows, gradients = float(ndtri(0.5 + level / 2)), [], {}
    observed = sum(float(e.values("amount").sum()) for e in experiences.values())
    for name, part in parts.items():
        seen = experiences[name]
        e, mean = seen.values("exposure"), seen.cells.select(part.rate()).to_series().to_numpy()
        gradients[name] = ((e * mean) @ part.values(seen.cells) / e.sum())[None, :]
        error = _sum_error({name: part}, {}, {name: gradients[name]})[0]
        rows.append((name, float(seen.values("amount").sum()), float(e @ mean), error))
    error = _sum_error(parts, cross, gradients)[0]
    expected = sum(row[2] for row in rows)
    rows.append(("total", observed, expected, error))
    exposure = next(iter(experiences.values())).basis.exposure
    at = pl.col("expected_amount") / exposure
    reach = z * pl.col("_error") / at
    schema = ["benefit", "amount", "expected_amount", "_error"]
    table = pl.DataFrame(rows, schema=schema, orient="row").select(
        "benefit",
        "amount",
        "expected_amount",
        pure_premium=at,
        lower=at * (-reach).exp(),
        upper=at * reach.exp(),
        share=pl.col("amount") / observed,
    )
    return table, _levels(experiences, parts)


def _levels(
    experiences: Mapping[str, Experience], parts: Mapping[str, RatingModel]
) -> pl.DataFrame:
    """The total by level of every factor of the first benefit's model."""
    found = []
    factors = next(iter(parts.values())).details["levels"]
    for factor in factors:
        sums = [
            experiences[n]
            .cells.with_columns(_expected=part.rate() * pl.col("exposure"))
            .group_by(factor, maintain_order=True)
            .agg(pl.col("exposure").sum(), pl.col("amount").sum(), pl.col("_expected").sum())
            for n, part in parts.items()
        ]
        total = (
            pl.concat(sums)
            .group_by(factor, maintain_order=True)
            .agg(
                pl.col("exposure").first(),
                pl.col("amount").sum(),
                expected_amount=pl.col("_expected").sum(),
            )
        )
        found.append(
            total.sort(factor).select(
                pl.lit(factor).alias("term"),
                pl.col(factor).cast(pl.String).alias("level"),
                "exposure",
                "amount",
                "expected_amount",
                pure_premium=pl.col("expected_amount") / pl.col("exposure"),
            )
        )
    schema = {"term": pl.String, "level": pl.String} | dict.fromkeys(
        ("exposure", "amount", "expected_amount", "pure_premium"), pl.Float64
    )
    return pl.concat(found) if found else pl.DataFrame(schema=schema)
