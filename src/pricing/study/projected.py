"""The book over the years to come, as ``[projection]`` asks, and its stresses."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.errors import InputError
from pricing.health.book_now import in_force_book
from pricing.health.effect import GroupEffect
from pricing.health.latent_health import LatentHealth
from pricing.health.moves import Renewals, observed_transitions
from pricing.health.new_business import NewBusiness
from pricing.health.outlook import Outlook, relativities_of
from pricing.health.price_response import PriceResponse
from pricing.health.projection import project_book
from pricing.health.rate_plan import RatePlan
from pricing.health.stress import stress_book
from pricing.result.shape import Basis, Result
from pricing.study.founded import founded
from pricing.study.sections import Outlooks, Regulated

__all__ = ["projected"]


def projected(
    wanted: Outlooks,
    renewals: Renewals,
    effect: GroupEffect,
    discounts: Mapping[str, float],
    *,
    loss_ratio: float,
    response: PriceResponse | None,
    causal: Result | None,
    regulation: Regulated | None,
    basis: Basis,
) -> dict[str, Result]:
    """Project the book in force under a schedule of discounts.

    Parameters
    ----------
    wanted : Outlooks
        ``[projection]`` of the study file.
    renewals : polars DataFrame or LazyFrame, or a sequence of them
        Accepted rows, or those of each part of a book: policy_id, policy_year, start, end, health_group, standard_premium.
    effect : GroupEffect
        Relativities of the groups.
    discounts : mapping of str to float
        By group, from the standard one to the healthiest.
    loss_ratio : float
        Claims expected in the first year over standard premium.
    response : PriceResponse, optional
        From the study's renewal model, where the section gives no retention and elasticity.
    causal : SideBySide, optional
        Where the effect comes from, where the section gives none.
    regulation : Regulated, optional
        Cap of the clause, the industry's loss ratio, the launch.
    basis : Basis
        Source, period, currency, fingerprint.

    Returns
    -------
    dict of str to Result
        group_moves, projection, stress.

    Raises
    ------
    InputError
        Where no answer of renewal to price is known; as the parts.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.experience.cells import Experience
    >>> from pricing.health.effect import group_effect
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...                      "claims": [1, 3] * 20 + [2, 1] * 20})
    >>> effect, _ = group_effect(Experience.collect(rows, ["health_group"]), "1")
    >>> terms = pl.DataFrame({"policy_id": ["a", "a", "b", "b"], "policy_year": [0, 1] * 2,
    ...     "start": [date(2024, 1, 1), date(2025, 1, 1)] * 2, "end": [date(2025, 1, 1), date(2026, 1, 1)] * 2,
    ...     "health_group": ["G0", "G1", "G0", "G0"], "standard_premium": 100.0})
    >>> section = Outlooks(on=date(2025, 6, 30), years=3, draws=20, retention=0.9, elasticity=-0.5)
    >>> found = projected(section, terms, effect, {"G0": 0.0, "G1": 0.1}, loss_ratio=0.7, response=None,
    ...     causal=None, regulation=None, basis=Basis())
    >>> list(found), found["projection"].table.height
    (['group_moves', 'projection', 'stress'], 3)
    """
    order = list(discounts)
    moves = observed_transitions(renewals, groups=order, source=basis.source)
    relativities, errors = relativities_of(effect)
    rows = renewals if isinstance(renewals, pl.DataFrame | pl.LazyFrame) else pl.concat(p.lazy() for p in renewals)  # fmt: skip
    book = in_force_book(rows, on=wanted.on, loss_ratio=loss_ratio, segment=wanted.segment)
    facts = causal.facts if causal is not None else {}
    saved = wanted.effect if wanted.effect is not None else max(-facts.get("believed", 0.0), 0.0)
    outlook = Outlook(
        discounts=discounts,
        relativities=relativities,
        relativity_errors=errors,
        moves=moves,
        response=_response(wanted, response),
        latent=LatentHealth(persistence=wanted.persistence, reliability=wanted.reliability),
        new_business=NewBusiness(
            share=wanted.new_share, growth=wanted.new_growth, premium=wanted.new_premium
        ),
        rates=_plan(wanted, regulation),
        trend=wanted.trend,
        trend_error=wanted.trend_error,
        level_error=wanted.level_error,
        claims_ageing=wanted.claims_ageing,
        premium_ageing=wanted.premium_ageing,
        effect=saved,
        effect_error=wanted.effect_error,
        exits=wanted.exits,
        expense_share=wanted.expense_share,
    )
    results: dict[str, Result] = {
        "group_moves": moves,
        "projection": project_book(
            book, outlook, years=wanted.years, segment=wanted.segment, seed=wanted.seed,
            draws=wanted.draws, level=wanted.level,
            source=basis.source, currency=basis.currency,
        ),
        "stress": stress_book(
            book, outlook, years=wanted.years, segment=wanted.segment, seed=wanted.seed,
            draws=wanted.draws, level=wanted.level, top_share=wanted.top_share, top=min(2, len(order) - 1),
            trend_plus=wanted.trend_plus, elasticity=wanted.strong_elasticity,
            source=basis.source, currency=basis.currency,
        ),
    }  # fmt: skip
    return founded(results, basis)


def _response(wanted: Outlooks, response: PriceResponse | None) -> PriceResponse:
    if wanted.retention is not None and wanted.elasticity is not None:
        return PriceResponse.elastic(
            retention=wanted.retention, elasticity=wanted.elasticity, error=wanted.elasticity_error
        )
    if response is None:
        raise InputError(
            "who renews at what premium is not known",
            where="projection",
            do="give retention and elasticity, or a [persistency] section with a table of offers",
        )
    return response


def _plan(wanted: Outlooks, regulation: Regulated | None) -> RatePlan:
    if regulation is None:
        return RatePlan(changes=wanted.rate_changes, target_loss_ratio=wanted.target_loss_ratio)
    since = (wanted.on - regulation.launch).days / 365.25
    return RatePlan(
        changes=wanted.rate_changes,
        target_loss_ratio=wanted.target_loss_ratio,
        clause_cap=regulation.clause_cap,
        industry_loss_ratio=regulation.industry_loss_ratio,
        years_since_launch=since,
    )
