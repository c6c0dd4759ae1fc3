"""Encouragement: who is invited is drawn by lot, who joins is not; the lot tells the effect.

The effect on those who join because they were invited (compliers): Imbens and Angrist (1994),
Econometrica 62; with factors Frölich (2007), Journal of Econometrics 139; the two rates of the
compliers themselves Abadie (2002), JASA 97.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from pricing.causal.contrast import CausalEffect, Contrast, effect_of
from pricing.causal.nuisance import fit_nuisance
from pricing.causal.people import Flags, People, indicator
from pricing.causal.weighting import aipw
from pricing.errors import InputError
from pricing.experience.domain import listed, require_columns

__all__ = ["encouragement", "local_effect"]

WEAK = 10.0  # F below this, the interval means little (Staiger and Stock 1997)


def encouragement(
    rows: pl.DataFrame,
    *,
    encouraged: str,
    treated: str,
    factors: Sequence[str] = (),
    outcome: str = "claims",
    exposure: str = "exposure",
    person: str | None = None,
    folds: int = 5,
    level: float = 0.95,
    source: str = "",
) -> CausalEffect:
    """Effect on those who join because they were invited, where the invitation was drawn by lot.

    Parameters
    ----------
    rows : polars.DataFrame
        Person-years after the invitation.
    encouraged : str
        Invited (yes or no): by lot, or as good as by lot given ``factors``.
    treated : str
        In the programme.
    factors : sequence of str
        What was known before the invitation; sharpens the interval.
    outcome, exposure, person, level, source
        As in :meth:`pricing.causal.people.People.collect`.
    folds : int
        Of the cross-fitting.

    Returns
    -------
    CausalEffect
        Its note gives the take-up the invitation brought and the F of that; below 10 the
        interval means little.

    Raises
    ------
    InputError
        Where the invitation changed nobody's mind, or the rows cannot be compared.

    Examples
    --------
    >>> rows = pl.DataFrame({"invited": [1, 1, 0, 0] * 5, "in": [1, 0, 0, 0] * 5,
    ...                      "claims": [1, 2, 2, 2] * 5, "exposure": [1.0] * 20})
    >>> found = encouragement(rows, encouraged="invited", treated="in", folds=1)
    >>> found.table["rate_difference"].round(6).to_list()
    [-1.0]
    """
    require_columns([treated], rows.columns)
    lot = People.collect(
        rows, treated=encouraged, factors=listed(factors), outcome=outcome, exposure=exposure,
        person=person, source=source,
    )  # fmt: skip
    contrast, uptake, strength = local_effect(lot, indicator(rows[treated]), folds=folds)
    notes = (
        f"the invitation moved {uptake:.1%} into the programme (F = {strength:,.0f})",
        *((f"F is below {WEAK:g}: the interval means little",) if strength < WEAK else ()),
        "the invitation acts through joining only, and keeps nobody out",
    )
    return effect_of(
        {("encouragement", "late"): contrast}, lot.basis, level=level, outcome=outcome, notes=notes
    )


def local_effect(
    lot: People, joined: Flags, *, folds: int = 5, seed: int = 0
) -> tuple[Contrast, float, float]:
    """Give the compliers' rates, the take-up the lot brought, and its F.

    μ1 = Δ(Y·A)/Δ(E·A), μ0 = −Δ(Y·(1 − A))/Δ(E·A), where Δ is the doubly robust effect of the lot.

    Examples
    --------
    >>> rows = pl.DataFrame({"z": [1, 1, 0, 0] * 5, "claims": [1, 2, 2, 2] * 5, "exposure": [1.0] * 20})
    >>> joined = np.array([True, False, False, False] * 5)
    >>> contrast, uptake, _ = local_effect(People.collect(rows, treated="z"), joined, folds=1)
    >>> round(contrast.treated, 6), round(contrast.untreated, 6), round(uptake, 6)
    (1.0, 2.0, 0.5)
    """
    found = []
    for total in (
        lot.total * joined,
        lot.total * ~joined,
        lot.exposure * joined,
    ):
        one = replace(lot, total=total)
        found.append(aipw(one, fit_nuisance(one, outcome="linear", folds=folds, seed=seed)))
    inside, outside, took = found
    uptake = took.difference
    if not uptake > 1e-9:
        raise InputError(
            f"the invitation brought nobody into the programme: it moved {uptake:+.1%}",
            do="compare by another design: this lot says nothing",
        )
    strength = (uptake / took.difference_error) ** 2 if took.difference_error > 0 else np.inf
    moved, stayed, joins = (c.treated_influence - c.untreated_influence for c in found)
    rate = inside.difference / uptake
    other = -outside.difference / uptake
    contrast = Contrast(
        rate, other, (moved - rate * joins) / uptake, -(stayed + other * joins) / uptake, lot.person
    )
    return contrast, uptake, float(strength)
