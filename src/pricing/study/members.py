"""What a study says of its members: evidence for the discount, who stays, the years to come, renewals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from pricing.claims.models import Frequency
from pricing.claims.severity import Severity
from pricing.data.book import true_parameters
from pricing.estimate.design import variables
from pricing.experience.cells import Experience
from pricing.health.effect import GroupEffect
from pricing.health.groups_later import groups_later
from pricing.health.schedule import Schedule
from pricing.result.shape import Result
from pricing.study.evidence import along_the_value, compared, designed, response_of
from pricing.study.not_shown import Refusals
from pricing.study.projected import projected
from pricing.study.renewed import renewed
from pricing.study.retained import retained

if TYPE_CHECKING:
    from pricing.study.chain import Study

__all__ = ["member_results"]


def member_results(
    study: Study,
    results: dict[str, Result],
    *,
    money: Experience,
    model: Frequency,
    severity: Severity | None,
    effect: GroupEffect,
    schedule: Schedule,
    progress: Callable[[str], None],
) -> dict[str, Result]:
    """Compute what the study's sections on members ask for.

    Parameters
    ----------
    study : Study
        With its tables.
    results : dict of str to Result
        What was computed before: the regulator's checks and the indication.
    money : Experience
        All cells with their premiums and amounts.
    model, severity, effect, schedule
        Of the study.
    progress : callable
        Told each step.

    Returns
    -------
    dict of str to Result
        Where asked for: value_effect, groups_later; those of ``[persistency]``, ``[causal]``,
        ``[discount.limits]``, ``[projection]``; renewal_ledger, price_trace; not_shown where the data refuse one.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> study = open_study(bundled("studies/randhie.toml"))
    >>> study.settings.projection is None
    True
    """
    s = study.settings
    basis, persons = study.basis, study.persons
    rows = persons.person_years.rows
    tables = {name: c.accepted for name, c in persons.checked.items()}
    found: dict[str, Result] = {}
    refused = Refusals()
    if s.discount.value is not None:
        factors = list(variables(s.model.frequency))
        found |= along_the_value(
            rows,
            s.discount.value,
            s.model.frequency,
            factors,
            collect=persons.collect,
            cluster=s.model.cluster,
        )
    if s.validation is not None and s.validation.hold_out == "year":
        later = refused.attempt("groups_later", lambda: _later(study))
        found |= {} if later is None else {"groups_later": later}
    if s.persistency is not None:
        assert s.study.observed is not None
        found |= retained(
            s.persistency, persons.person_years, tables, group=s.discount.group, bands=s.bands,
            observed=s.study.observed, rate=model.rate(), cost=_cost(study, money, severity),
            true_slope=_truth(study, "renew_price"), basis=persons.basis, refused=refused, progress=progress,
        )  # fmt: skip
    if s.causal is not None:
        progress("programme")
        truth = _truth(study, "programme_rate_ratio")
        found |= compared(
            s.causal, rows, indicator="in_programme", person=s.model.cluster or "policy_id",
            truth=None if truth is None else truth - 1, basis=persons.basis,
            refused=refused,
        )  # fmt: skip
    response, causal = response_of(found), found.get("side_by_side")
    design = designed(
        s.discount, effect, schedule, money, response=response, causal=causal, refused=refused
    )
    of_sample = {"discount_split", *(["schedule_design"] if response is not None else [])}
    found |= _said(design, of_sample, study)
    ahead_of = s.projection
    if ahead_of is not None:
        progress("projection")
        paid, charged = (float(money.cells[n].sum()) for n in ("amount", "standard_premium"))
        ahead = refused.attempt(
            "projection",
            lambda: projected(
                ahead_of, study.renewal_parts(), effect, schedule.discounts, loss_ratio=paid / charged,
                response=response, causal=causal, regulation=s.regulation, basis=basis,
            ),
        )  # fmt: skip
        asked = ahead_of.retention is None or ahead_of.elasticity is None
        follows = asked or (causal is not None and ahead_of.effect is None)
        found |= _said(ahead or {}, {"projection", "stress"} if follows else set(), study)
    found |= renewed(study, {**results, "schedule": schedule}, basis)
    return found | refused.result(basis)


def _said(found: dict[str, Result], names: set[str], study: Study) -> dict[str, Result]:
    """Say of results of the whole book what retention or effect of a sample of persons they draw on."""
    own = study.basis.notes
    notes = tuple(
        f"retention and effect follow from {note}"
        for note in study.persons.basis.notes
        if note not in own
    )
    return {
        name: replace(one, basis=replace(one.basis, notes=(*one.basis.notes, *notes)))
        if name in names
        else one
        for name, one in found.items()
    }


def _later(study: Study) -> Result:
    """The last year against those before."""
    s, years = study.settings, study.years
    keys = [*variables(s.model.frequency), s.discount.group]
    return groups_later(
        study.experience(keys, end=years[-2]),
        study.experience(keys, start=years[-1]),
        s.model.frequency,
        group=s.discount.group,
        order=s.discount.order,
        cluster=study.cluster(start=years[-1]),
    )


def _cost(study: Study, money: Experience, severity: Severity | None) -> pl.Expr | float:
    if severity is not None:
        return severity.rate()
    if study.settings.premium is not None:
        return study.settings.premium.cost_per_claim
    return float(money.cells["amount"].sum()) / float(money.cells["claims"].sum())


def _truth(study: Study, name: str) -> float | None:
    """A parameter of the simulated book; None where the tables are real."""
    if study.book is None:
        return None
    return float(true_parameters(study.book)["parameters"][name])
