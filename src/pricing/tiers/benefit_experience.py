"""Use and bill of each benefit from the book: claims per insured-year, amount of one claim.

Frequencies are claims over insured-years with errors from the spread between the rows of the
experience (a policy, or a policy and year of age): Var(r) = Σ(n − re)²/E², on the log scale. The
dispersion is the method of moments for gamma-mixed Poisson claims, Σ(n − re)² = rE + (d − 1)rΣe².
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError, nearest
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.experience.events import place_claims
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure
from pricing.files import fingerprint
from pricing.losses.severity_law import SeverityLaw, sample_severity
from pricing.losses.tail import fit_tail, spliced_severity
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say
from pricing.tiers.benefit import Benefit, Gate

__all__ = ["BenefitExperience", "benefit_experience"]

ALL = "all"
TAIL_FROM, TAIL_CLAIMS = 0.95, 50


class BenefitExperience(Result):
    """Frequency and severity by benefit.

    ``.table``: benefit, age_band (``all`` where none was asked), exposure, claims, frequency with
    lower and upper, dispersion, severity with severity_lower and severity_upper, tail_threshold
    (None where the sample stands alone), cost_per_year (frequency × severity).
    ``.frames["amounts"]``: benefit, amount, claims.
    """

    kind = "benefit_experience"

    def severity(self, benefit: str) -> SeverityLaw:
        """Give the law of one claim: the claims seen, with a fitted tail where they bear one."""
        if benefit not in self._laws:
            self._laws[benefit] = self._law(benefit)
        return self._laws[benefit]

    @cached_property
    def _laws(self) -> dict[str, SeverityLaw]:
        return {}

    def _law(self, benefit: str) -> SeverityLaw:
        self._row(benefit)
        seen = self.frames["amounts"].filter(pl.col("benefit") == benefit)
        if not seen.height:
            raise InputError(f"{benefit!r} has no claims with an amount")
        threshold = self.details["thresholds"].get(benefit)
        if threshold is None:
            return sample_severity(
                seen["amount"].to_numpy(), seen["claims"].cast(pl.Float64).to_numpy()
            )
        x = np.repeat(seen["amount"].to_numpy(), seen["claims"].to_numpy())
        return spliced_severity(x, fit_tail(x, threshold))

    def benefit(
        self,
        benefit: str,
        *,
        age_band: str = ALL,
        measured_gate: Gate | None = None,
        **rules: Any,
    ) -> Benefit:
        """Give a benefit to price, with its frequency and severity from the book.

        ``rules`` are those of :class:`pricing.tiers.benefit.Benefit`. ``measured_gate`` is the gate
        in force while the book was observed: frequency, its spread between persons and mean bill are
        taken back to what they would be without it (the shape of the bill stays that of the book), so that a gate among the
        rules is not counted twice.
        """
        row = self._row(benefit, age_band)
        if not row["claims"]:
            raise InputError(f"{benefit!r} has no claims at {age_band!r}: its frequency is unknown")
        dispersion = max(row["dispersion"], 1.0)
        frequency, law = row["frequency"], self.severity(benefit)
        if measured_gate is not None:
            past = measured_gate.through
            kept = 1 - past + past * measured_gate.frequency
            cost = 1 - past + past * measured_gate.frequency * measured_gate.severity
            frequency, law = frequency / kept, law.scaled(kept / cost)
            dispersion = 1 + (dispersion - 1) / kept  # the spread between persons stays
        given = {"dispersion": dispersion, **rules}
        return Benefit(name=benefit, frequency=frequency, severity=law, **given)

    def _row(self, benefit: str, age_band: str | None = None) -> dict[str, Any]:
        names = self.table["benefit"].unique(maintain_order=True).to_list()
        rows = self.table.filter(pl.col("benefit") == benefit)
        if not rows.height:
            raise InputError(f"no benefit {benefit!r} in this book{nearest(benefit, names)}")
        if age_band is None:
            return rows.row(0, named=True)
        rows = rows.filter(pl.col("age_band") == age_band)
        if not rows.height:
            bands = self.table["age_band"].unique(maintain_order=True).to_list()
            raise InputError(f"no age band {age_band!r}{nearest(age_band, bands)}")
        return rows.row(0, named=True)

    def finding(self, lang: Language = "en") -> str:
        """Say which benefit is used most and which costs most."""
        facts = {**self.facts}
        for name in ("most", "dearest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.benefit_experience", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the frequency of each benefit in its interval, over all ages."""
        t = self.table.filter(pl.col("age_band") == ALL)
        return interval_figure(
            t["benefit"].to_list(),
            t["frequency"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="frequency",
            factor="benefit",
            lang=lang,
            bars=t["exposure"].to_list(),
        )


def benefit_experience(
    policies: pl.DataFrame,
    claims: pl.DataFrame,
    lexis: Lexis,
    *,
    covers: Mapping[str, Sequence[str]] | None = None,
    tier: str = "tier",
    waiting: Mapping[str, int] | None = None,
    amount: str = "amount",
    ages: Sequence[int] = (),
    level: float = 0.95,
    basis: Basis | None = None,
) -> BenefitExperience:
    """Estimate how often each benefit is used and what a claim of it costs.

    Parameters
    ----------
    policies, claims : polars.DataFrame
        Rows the contracts accepted: ``policy_id``, ``start``, ``end`` (``birth_date`` where ages
        are asked, the tier where ``covers`` is given); ``policy_id``, ``incurred``, ``benefit`` and
        the amount.
    lexis : Lexis
        Window of the study, without dimensions.
    covers : mapping of str to sequence of str, optional
        Tiers that have each benefit; a benefit left out is covered in all of them.
    tier : str
        Column of the tier.
    waiting : mapping of str to int, optional
        Days of each benefit's waiting period at the start of a policy, which count as no exposure.
    amount : str
        Column of the amount of a claim; bills before the terms where other terms will be priced.
    ages : sequence of int, optional
        Lower edges of bands of attained age, the first at most the youngest age.
    level : float
        Confidence level.
    basis : Basis, optional
        Source, period, currency.

    Returns
    -------
    BenefitExperience
        ``.facts["outside"]`` is the number of claims outside cover or window, which are not used.

    Raises
    ------
    InputError
        For missing columns, a benefit in ``covers`` or ``waiting`` that the claims do not have,
        tiers that no policy has.

    Examples
    --------
    >>> from datetime import date
    >>> policies = pl.DataFrame({"policy_id": ["AJ1", "AJ2"], "start": [date(2023, 1, 1)] * 2,
    ...                          "end": [date(2025, 1, 1)] * 2})
    >>> claims = pl.DataFrame({"policy_id": ["AJ1"] * 3, "incurred": [date(2023, 5, k) for k in (1, 2, 3)],
    ...                        "benefit": ["outpatient"] * 3, "amount": [100.0, 200.0, 300.0]})
    >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2025, 1, 1))
    >>> found = benefit_experience(policies, claims, lexis)
    >>> found.table.select("claims", "severity").rows(), round(found.table["frequency"][0], 3)
    ([(3, 200.0)], 0.749)
    """
    _require(policies, claims, covers, waiting, tier, amount, lexis, level)
    names = claims["benefit"].unique().sort().to_list()
    rows, amounts, thresholds, outside = [], [], {}, 0
    reach = float(ndtri(0.5 + level / 2))
    for name in names:
        own = policies
        if covers and name in covers:
            own = policies.filter(pl.col(tier).cast(pl.String).is_in(list(covers[name])))
            if not own.height:
                raise InputError(f"no policy has {name}: none is in {', '.join(covers[name])}")
        wait = (waiting or {}).get(name, 0)
        own = own.with_columns(_from=pl.col("start") + timedelta(days=wait)).filter(
            pl.col("_from") < pl.col("end")
        )
        seen = claims.filter(pl.col("benefit") == name)
        cover = ("_from", "end")
        placed = place_claims(seen, own, [], lexis, amount=amount, cover=cover)
        outside += placed.unmatched.height
        rows.append(
            _row(name, ALL, placed.onto(split_exposure(own, [], lexis, cover=cover)), reach)
        )
        inside = seen.join(own.select("policy_id", "_from", "end"), on="policy_id").filter(
            pl.col("incurred").is_between(pl.max_horizontal("_from", pl.lit(lexis.start)),
                                          pl.min_horizontal("end", pl.lit(lexis.end)), closed="left")
        )  # fmt: skip
        if ages:
            by_age = Lexis(start=lexis.start, end=lexis.end, dims=["age"], year=lexis.year)
            with_age = place_claims(seen, own, [], by_age, amount=amount, cover=cover).onto(
                split_exposure(own, [], by_age, cover=cover)
            )
            banded = with_age.with_keys(age_band=band("age", list(ages))).by("age_band")
            rows += [
                _row(name, one, banded.where(pl.col("age_band") == one), reach)
                for one in banded.levels("age_band")
            ]
        x = inside[amount].cast(pl.Float64)
        limit = _threshold(x)
        thresholds[name] = limit
        for row in rows:
            if row["benefit"] == name:
                row["tail_threshold"] = limit
        amounts.append(
            x.alias("amount")
            .to_frame()
            .group_by("amount")
            .agg(claims=pl.len().cast(pl.Int64))
            .sort("amount")
            .select(pl.lit(name).alias("benefit"), "amount", "claims")
        )
    table = pl.DataFrame(rows, schema_overrides={"tail_threshold": pl.Float64})
    whole = table.filter(pl.col("age_band") == ALL)
    most = whole.sort("frequency", descending=True).row(0, named=True)
    dearest = whole.sort("cost_per_year", descending=True).row(0, named=True)
    given = basis or Basis()
    note = (
        "errors of frequencies from the spread between policies; severity by the claims seen, with a "
        "fitted tail where its shape is above zero and below 1"
    )
    held = Basis(
        **{
            **{k: getattr(given, k) for k in ("source", "period", "filters", "currency")},
            "rows": policies.height,
            "exposure": float(whole["exposure"].max()),  # type: ignore[arg-type]
            "claims": float(whole["claims"].sum()),
            "fingerprint": fingerprint(given.fingerprint, table.write_json()),
            "notes": (*given.notes, note),
        }
    )
    return BenefitExperience(
        table=table,
        basis=held,
        facts={
            "benefits": whole.height,
            "exposure": held.exposure,
            "outside": outside,
            "level": level,
            "most": most["benefit"],
            "most_frequency": most["frequency"],
            "most_lower": most["lower"],
            "most_upper": most["upper"],
            "dearest": dearest["benefit"],
            "dearest_cost": dearest["cost_per_year"],
        },
        frames={"amounts": pl.concat(amounts)},
        details={"thresholds": thresholds},
    )


def _row(benefit: str, name: str, seen: Experience, reach: float) -> dict[str, Any]:
    """Frequency and severity of one benefit, from the sums of its experience."""
    sums = {
        m: float(seen.values(m).sum())
        for m in ("exposure", "claims", "exposure_squared", "claims_exposure", "claims_squared")
    }
    e, n = sums["exposure"], sums["claims"]
    cost = float(seen.values("amount").sum())
    rate = n / e
    spread = sums["claims_squared"] - 2 * rate * sums["claims_exposure"]
    spread += rate**2 * sums["exposure_squared"]
    error = math.sqrt(max(spread, 0.0)) / e
    dispersion = 1 + (spread - n) / (rate * sums["exposure_squared"]) if n else 1.0
    factor = math.exp(reach * error / rate) if n else 1.0
    # of the amounts of a row, which are claims of one policy, as far as the sums tell
    mean = cost / n if n else None
    severity = None
    if mean:
        square = float(seen.values("amount_squared").sum())
        between = square - 2 * mean * float(seen.values("amount_claims").sum())
        between += mean**2 * sums["claims_squared"]
        severity = math.exp(reach * math.sqrt(max(between, 0.0)) / cost)
    return {
        "benefit": benefit,
        "age_band": name,
        "exposure": e,
        "claims": int(n),
        "frequency": rate,
        "lower": rate / factor if n else 0.0,
        "upper": rate * factor if n else 3.0 / e,
        "dispersion": max(dispersion, 1.0),
        "severity": mean,
        "severity_lower": mean / severity if mean and severity else None,
        "severity_upper": mean * severity if mean and severity else None,
        "tail_threshold": None,
        "cost_per_year": cost / e,
    }


def _threshold(amounts: pl.Series) -> float | None:
    """Where a tail is fitted: above the 95 % point, if enough claims bear one that is heavy."""
    if amounts.len() * (1 - TAIL_FROM) < TAIL_CLAIMS:
        return None
    limit = float(amounts.quantile(TAIL_FROM))  # type: ignore[arg-type]
    try:
        tail = fit_tail(amounts, limit)
    except InputError:
        return None
    return limit if 0 < tail.shape < 1 else None


def _require(
    policies: pl.DataFrame,
    claims: pl.DataFrame,
    covers: Mapping[str, Sequence[str]] | None,
    waiting: Mapping[str, int] | None,
    tier: str,
    amount: str,
    lexis: Lexis,
    level: float,
) -> None:
    faults = [
        f"{where}: no column {name!r}{nearest(name, frame.columns)}"
        for where, frame, names in (
            ("policies", policies, ["policy_id", "start", "end", *([tier] if covers else [])]),
            ("claims", claims, ["policy_id", "incurred", "benefit", amount]),
        )
        for name in names
        if name not in frame.columns
    ]
    if lexis.dims:
        faults.append(f"the window has dimensions {list(lexis.dims)}; give it without")
    if not 0 < level < 1:
        faults.append(f"the level lies between 0 and 1, got {level}")
    if not faults:
        if not claims.height:
            faults.append("claims: no rows")
        without = claims["benefit"].null_count()
        if without:
            faults.append(f"claims: {without:,} of {claims.height:,} without a benefit")
        known = claims["benefit"].drop_nulls().unique().to_list()
        asked = {**(covers or {}), **(waiting or {})}
        faults += [f"no claims of {n!r}{nearest(n, known)}" for n in asked if n not in known]
    if faults:
        raise InputError("a book whose benefits cannot be estimated", faults=faults)
