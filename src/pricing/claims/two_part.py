"""Two-part model for zero-heavy cost: whether a row claims at all, and how much if it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.claims.occurrence import fit_occurrence
from pricing.claims.parts import Compound, packed, require_inference
from pricing.claims.rating import Errors, RatingModel
from pricing.claims.severity import AmountFamily, Correction, fit_severity
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.words import Language, label, level_label, say

__all__ = ["TwoPart", "fit_two_part"]


class TwoPart(Compound):
    """Expected amount of a row: probability of any amount times the amount if there is one.

    ``.table``: term, level, relativity of the expected amount with lower and upper, odds_ratio,
    amount_relativity, exposure. The expected amount is not a product of relativities: that of a
    level is the mean over the book with every row moved to the level, over the same at the base.
    """

    kind = "two_part"

    def _joined(self, rates: Mapping[str, pl.Expr]) -> pl.Expr:
        return rates["occurrence"] * rates["amount"]

    def relativities(self, factor: str) -> pl.DataFrame:
        """Give the rows of one factor, the base level among them."""
        found = self.table.filter(pl.col("term") == factor)
        if found.is_empty():
            terms = self.table["term"].unique().to_list()
            raise InputError(f"{factor!r} is not in the model{nearest(factor, terms)}")
        return found

    def interval(self, frame: pl.DataFrame, *, errors: Errors | None = None) -> pl.DataFrame:
        """Add ``rate``, ``lower`` and ``upper``: the interval of the fitted mean of every row.

        Notes
        -----
        ln(πμ) has the derivatives 1 − π and 1 in the two predictors; the parts are estimated from
        separate likelihoods, so their errors are uncorrelated (Duan, Manning, Morris and
        Newhouse 1983).
        """
        parts = self.parts
        require_inference(parts)
        chance = parts["occurrence"].score(frame)["rate"].to_numpy()
        squares = [
            scale**2
            * np.fmax(
                *(part.predictor_error(frame, e) for e in (errors or part.facts["errors"], "model"))
            )
            ** 2
            for scale, part in ((1 - chance, parts["occurrence"]), (1.0, parts["amount"]))
        ]
        reach = float(ndtri(0.5 + self.facts["level"] / 2)) * np.sqrt(sum(squares))
        scored = self.score(frame)
        return scored.with_columns(
            lower=pl.col("rate") * pl.Series(np.exp(-reach)),
            upper=pl.col("rate") * pl.Series(np.exp(reach)),
        )

    def finding(self, lang: Language = "en") -> str:
        """Say how many rows have an amount, and what separates the expected amount most."""
        facts = {**self.facts, "factor": label(self.facts["strongest"], lang)}
        for name in ("lowest", "highest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.two_part", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the relativities of one factor (default: the strongest) over exposure bars."""
        factor = factor or self.facts["strongest"]
        rows = self.relativities(factor)
        return interval_figure(
            rows["level"].to_list(),
            rows["relativity"].to_list(),
            rows["lower"].to_list(),
            rows["upper"].to_list(),
            name="relativity",
            factor=factor,
            lang=lang,
            bars=rows["exposure"].fill_null(0).to_list(),
            reference=1.0,
        )


def fit_two_part(
    experience: Experience,
    formula: str,
    *,
    amount_formula: str | None = None,
    family: AmountFamily = "gamma",
    correction: Correction = "variance",
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
) -> TwoPart:
    """Fit a logit for any amount and a model of the amount of rows that have one.

    For cost that most rows do not have and few have much of (Duan, Manning, Morris and Newhouse
    1983, J. Business and Economic Statistics 1). The amount is that of a row (a person-year).

    Parameters
    ----------
    experience : Experience
        Cells collected with ``amount=``.
    formula : str
        Of both parts.
    amount_formula : str, optional
        Of the second part, where it differs.
    family, correction
        Of the amount; see :func:`pricing.claims.severity.fit_severity`.
    base, errors, level
        As in :func:`pricing.claims.models.fit_frequency`.

    Returns
    -------
    TwoPart
        ``.parts["occurrence"]`` and ``.parts["amount"]`` are the fitted parts; ``rate`` is the
        expected amount of a row, whatever its exposure.

    Raises
    ------
    InputError
        As the parts.

    Examples
    --------
    >>> rows = pl.DataFrame({"tier": ["a"] * 4 + ["b"] * 4, "exposure": 1.0, "claims": 1,
    ...                      "amount": [0.0, 8.0, 8.0, 0.0, 9.0, 9.0, 0.0, 6.0]})
    >>> model = fit_two_part(Experience.collect(rows, ["tier"], amount="amount"), "tier")
    >>> model.relativities("tier")["relativity"].round(6).to_list()
    [1.0, 1.5]
    """
    first = fit_occurrence(experience, formula, base=base, errors=errors, level=level)
    second_formula = formula if amount_formula is None else amount_formula
    bases = {k: v for k, v in first.details["base"].items() if k in second_formula}
    second = fit_severity(
        experience,
        second_formula,
        family=family,
        per="row",
        correction=correction,
        base={**bases, **(base or {})} if amount_formula is None else base,
        errors=errors,
        level=level,
    )
    parts: dict[str, RatingModel] = {"occurrence": first, "amount": second}
    details, frames = packed(parts)
    table = _table(first, second, experience, errors, level)
    basis = replace(
        first.basis,
        fingerprint=fingerprint(first.basis.fingerprint, second.basis.fingerprint),
        notes=tuple(dict.fromkeys([*first.basis.notes, *second.basis.notes])),
    )
    with_amount = experience.values("amount_rows").sum()
    facts = {
        "level": level,
        "claiming": float(with_amount / experience.values("rows").sum()),
        "mean_amount": float(experience.values("amount").sum() / with_amount),
        "strongest": "",
        "lowest": "",
        "highest": "",
        "low": 1.0,
        "high": 1.0,
    }
    known = table.drop_nulls("relativity")
    if known.height:
        spread = known.group_by("term", maintain_order=True).agg(
            pl.col("relativity").max() / pl.col("relativity").min()
        )
        widest = str(spread.sort("relativity", descending=True)["term"][0])
        own = known.filter(pl.col("term") == widest).sort("relativity")
        facts |= {
            "strongest": widest,
            "lowest": own["level"][0],
            "highest": own["level"][-1],
            "low": own["relativity"][0],
            "high": own["relativity"][-1],
        }
    return TwoPart(table=table, basis=basis, facts=facts, frames=frames, details=details)


def _table(
    first: RatingModel, second: RatingModel, experience: Experience, errors: Errors, level: float
) -> pl.DataFrame:
    """Mean expected amount with everybody at a level, over the same at the base."""
    z, weight = float(ndtri(0.5 + level / 2)), experience.values("rows")
    seen = _scorable(experience.cells, (first, second))
    cells, weight = experience.cells.filter(seen), weight[seen.to_numpy()]
    rows = []
    for factor, known in first.details["levels"].items():
        if factor in second.details["levels"]:
            known = [at for at in known if at in second.details["levels"][factor]]
        base = first.details["base"][factor]
        start = _moved(first, second, cells, weight, factor, base)
        for at in known:
            mean, gradients = _moved(first, second, cells, weight, factor, at)
            square: float = 0.0
            for part, one, other in zip((first, second), gradients, start[1], strict=True):
                kept = np.flatnonzero(np.isfinite(part.coefficients))
                g = one - other
                forms = [
                    float(g @ part.covariance(e)[np.ix_(kept, kept)] @ g) for e in (errors, "model")
                ]
                square += max(forms)
            log = float(np.log(mean / start[0]))
            reach = z * float(np.sqrt(square))
            rows.append((factor, at, np.exp(log), np.exp(log - reach), np.exp(log + reach)))
    schema = {"term": pl.String, "level": pl.String} | dict.fromkeys(
        ("relativity", "lower", "upper"), pl.Float64
    )
    table = pl.DataFrame(rows, schema=schema, orient="row")
    odds = first.table.select("term", "level", "exposure", odds_ratio="relativity")
    amounts = second.table.select("term", "level", amount_relativity="relativity")
    return table.join(odds, on=["term", "level"], how="left", maintain_order="left").join(
        amounts, on=["term", "level"], how="left", maintain_order="left"
    )


def _scorable(cells: pl.DataFrame, parts: tuple[RatingModel, ...]) -> pl.Series:
    """Cells whose every level both parts know."""
    rates = cells.select(**{str(k): part.rate() for k, part in enumerate(parts)})
    return rates.select(pl.all_horizontal(pl.all().is_not_null())).to_series()


def _moved(
    first: RatingModel,
    second: RatingModel,
    cells: pl.DataFrame,
    weight: Floats,
    factor: str,
    at: str,
) -> tuple[float, tuple[Floats, Floats]]:
    """Mean amount with every cell at one level, and the gradients of its log."""
    frame = cells.with_columns(pl.lit(at, dtype=cells.schema[factor]).alias(factor))
    chance, amount = (frame.select(part.rate()).to_series().to_numpy() for part in (first, second))
    mass = weight * chance * amount
    gradients = (
        (mass * (1 - chance)) @ first.values(frame) / mass.sum(),
        mass @ second.values(frame) / mass.sum(),
    )
    return float(mass.sum() / weight.sum()), gradients
