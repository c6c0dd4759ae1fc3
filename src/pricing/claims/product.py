"""Frequency times severity: the tariff of amounts per policy-year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.claims.models import Frequency
from pricing.claims.parts import Compound, packed, require_inference
from pricing.claims.rating import Errors, RatingModel
from pricing.claims.severity import Severity
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.words import Language, label, level_label, say

__all__ = ["Product", "multiply"]


class Product(Compound):
    """Amount per policy-year as frequency times severity.

    ``.table``: term, level, role, relativity with lower and upper, the relativities of frequency
    and severity it is the product of, exposure and claims.
    """

    kind = "product"

    def _joined(self, rates: Mapping[str, pl.Expr]) -> pl.Expr:
        return rates["frequency"] * rates["severity"]

    def relativities(self, factor: str) -> pl.DataFrame:
        """Give the rows of one factor or term, the base level among them."""
        found = self.table.filter(pl.col("term") == factor)
        if found.is_empty():
            terms = self.table["term"].unique().to_list()
            raise InputError(f"{factor!r} is not in the model{nearest(factor, terms)}")
        return found

    def interval(self, frame: pl.DataFrame, *, errors: Errors | None = None) -> pl.DataFrame:
        """Add ``rate``, ``lower`` and ``upper``: the interval of the fitted mean of every row.

        The squared errors of the two logs are added: frequency and severity are estimated
        independently where the amount of a claim does not depend on how many there are.
        """
        require_inference(self.parts)
        squares = [
            np.maximum(
                part.predictor_error(frame, errors or part.facts["errors"]),
                part.predictor_error(frame, "model"),
            )
            ** 2
            for part in self.parts.values()
        ]
        reach = float(ndtri(0.5 + self.facts["level"] / 2)) * np.sqrt(sum(squares))
        scored = self.score(frame)
        return scored.with_columns(
            lower=pl.col("rate") * pl.Series(np.exp(-reach)),
            upper=pl.col("rate") * pl.Series(np.exp(reach)),
        )

    def finding(self, lang: Language = "en") -> str:
        """Say what separates the pure premium most."""
        facts = {**self.facts, "factor": label(self.facts["strongest"], lang)}
        for name in ("lowest", "highest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.product", lang, **facts)

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the relativities of one factor, with those of frequency and severity beside."""
        factor = factor or self.facts["strongest"]
        rows = self.relativities(factor)
        levels = rows["level"].to_list()
        figure = interval_figure(
            levels,
            rows["relativity"].to_list(),
            rows["lower"].to_list(),
            rows["upper"].to_list(),
            name="relativity",
            factor=factor,
            lang=lang,
            bars=rows["exposure"].fill_null(0).to_list(),
            reference=1.0,
        )
        with_points(
            figure,
            levels,
            rows["frequency_relativity"].to_list(),
            name="frequency_relativity",
            lang=lang,
        )
        return with_points(
            figure,
            levels,
            rows["severity_relativity"].to_list(),
            name="severity_relativity",
            lang=lang,
            symbol="circle-open",
            colour="third",
        )


def multiply(frequency: RatingModel, severity: RatingModel) -> Product:
    """Multiply a frequency by a severity; ``frequency * severity`` is the same.

    Parameters
    ----------
    frequency : Frequency
        Claims per policy-year.
    severity : Severity
        Amount per claim, of the same claims, with the same base levels.

    Raises
    ------
    InputError
        For anything but a frequency and a severity; base levels that differ; a severity that has
        set claims without an amount apart (the frequency counts them) or that is per row.

    Notes
    -----
    E[a]/e = E[n]/e · E[a/n]; relativities multiply and the squared errors of their logs add, as
    the scores of the two models are uncorrelated where the amount of a claim does not depend on
    how many there are.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.claims.severity import fit_severity
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"tier": ["a", "a", "b", "b"], "exposure": 1.0, "claims": [1, 2, 2, 1],
    ...                      "amount": [100.0, 200.0, 400.0, 200.0]})
    >>> seen = Experience.collect(rows, ["tier"], amount="amount")
    >>> tariff = fit_frequency(seen, "tier") * fit_severity(seen, "tier")
    >>> tariff.score(rows.head(1), exposure="exposure")["expected"].round(6).to_list()
    [150.0]
    """
    if not (isinstance(frequency, Frequency) and isinstance(severity, Severity)):
        raise InputError(
            f"a {frequency.kind} times a {severity.kind} is not a pure premium",
            do="multiply a frequency by a severity",
        )
    if severity.facts["per"] != "claim" or severity.details["family"] == "log_normal":
        raise InputError(
            "the severity is per row with an amount, the frequency counts claims",
            do="fit the severity per claim, or take fit_two_part",
        )
    if severity.facts["nil_claims"] and severity.facts["nil"] == "apart":
        raise InputError(
            f"the severity has set {severity.facts['nil_claims']:,.0f} claims without an amount "
            "apart, and the frequency counts them",
            do="fit the severity with nil='keep', or the frequency on paid claims",
        )
    bases = frequency.details["base"], severity.details["base"]
    faults = [
        f"{name}: {bases[0][name]!r} and {bases[1][name]!r}"
        for name in bases[0]
        if name in bases[1] and bases[0][name] != bases[1][name]
    ]
    if faults:
        raise InputError("base levels differ", faults=faults, do="fit both with the same base=")
    parts = {"frequency": frequency, "severity": severity}
    details, frames = packed(parts)
    note = "frequency and severity are taken as independent: the squared errors of their logs add"
    basis = replace(
        frequency.basis,
        fingerprint=fingerprint(frequency.basis.fingerprint, severity.basis.fingerprint),
        notes=tuple(dict.fromkeys([*frequency.basis.notes, *severity.basis.notes, note])),
    )
    level = frequency.facts["level"]
    table = _table(frequency, severity, level)
    factors = table.filter(pl.col("role").is_in(["estimate", "base"]))
    facts = {"level": level, "strongest": "", "lowest": "", "highest": "", "low": 1.0, "high": 1.0}
    plain = factors.filter(pl.col("term").is_in([*bases[0], *bases[1]]))
    if plain.height:
        spread = plain.group_by("term", maintain_order=True).agg(
            pl.col("relativity").max() / pl.col("relativity").min()
        )
        widest = str(spread.sort("relativity", descending=True)["term"][0])
        own = plain.filter(pl.col("term") == widest).drop_nulls("relativity").sort("relativity")
        facts |= {
            "strongest": widest,
            "lowest": own["level"][0],
            "highest": own["level"][-1],
            "low": own["relativity"][0],
            "high": own["relativity"][-1],
        }
    return Product(table=table, basis=basis, facts=facts, frames=frames, details=details)


def _table(frequency: RatingModel, severity: RatingModel, level: float) -> pl.DataFrame:
    z = float(ndtri(0.5 + level / 2))

    def logs(model: RatingModel, name: str) -> pl.DataFrame:
        width = (pl.col("upper").log() - pl.col("lower").log()) / 2
        reach = float(ndtri(0.5 + model.facts["level"] / 2))
        return model.table.select(
            "term",
            "level",
            pl.col("relativity").alias(f"{name}_relativity"),
            (width / reach).alias(f"_{name}"),
            pl.col("role").alias(f"_role_{name}"),
        )

    both = logs(frequency, "frequency").join(
        logs(severity, "severity"),
        on=["term", "level"],
        how="full",
        coalesce=True,
        maintain_order="left_right",
    )
    counts = pl.concat(
        [m.table.select("term", "level", "exposure", "claims") for m in (frequency, severity)]
    )
    counts = counts.group_by("term", "level", maintain_order=True).first()
    # a term in one model only has the relativity one, for certain, in the other
    own = {m: pl.col(f"_role_{m}").is_null() for m in ("frequency", "severity")}
    relativity = [
        pl.when(own[m]).then(1.0).otherwise(f"{m}_relativity").alias(f"{m}_relativity") for m in own
    ]
    error = [pl.when(own[m]).then(0.0).otherwise(f"_{m}").alias(f"_{m}") for m in own]
    reach = z * (pl.col("_frequency") ** 2 + pl.col("_severity") ** 2).sqrt()
    at = (pl.col("frequency_relativity") * pl.col("severity_relativity")).log()
    return (
        both.with_columns(*relativity, *error, role=pl.coalesce("_role_frequency", "_role_severity"))
        .with_columns(relativity=at.exp(), lower=(at - reach).exp(), upper=(at + reach).exp())
        .join(counts, on=["term", "level"], how="left", maintain_order="left")
        .select(
            "term", "level", "role", "relativity", "lower", "upper",
            "frequency_relativity", "severity_relativity", "exposure", "claims",
        )
    )  # fmt: skip
