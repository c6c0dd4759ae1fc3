"""Refinement: ordered steps from a fitted tariff to a charged one, each with its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.claims.product import Product
from pricing.claims.rating import RatingModel
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.tariff.against import POWER, Against, Rates, against
from pricing.tariff.apply import apply_step, require_steps
from pricing.tariff.fitted import tariff_of
from pricing.tariff.rates import Tariff, assemble
from pricing.tariff.steps import CapChange, Group, Refit, Restrict, SetLevel, Smooth, Step
from pricing.tariff.steps_file import read_steps, steps_of, write_steps

__all__ = ["Refinement", "refine"]


class Refinement(Result):
    """A refined tariff with its audit.

    ``.table`` is the audit, one row per step after the row of the fit (step 0): step, step_kind,
    term, what, who, when, why, deviance and its change, total_premium of the experience (currency)
    and its change as a fraction, balance (Σ expected ÷ Σ observed). ``.frames["relativities"]``
    holds every level as fitted and as refined.
    """

    kind = "refinement"

    @property
    def tariff(self) -> Tariff:
        """The refined tariff."""
        return _tariff(self.details["tariff"], self.basis)

    @property
    def fitted(self) -> Tariff:
        """The tariff as the model has it."""
        return _tariff(self.details["fitted"], self.basis)

    @property
    def steps(self) -> list[Step]:
        """The steps in order, a refit that was asked for among them."""
        steps, faults = steps_of(self.details["steps"])
        assert not faults
        return steps

    def write_steps(self, path: str | Path) -> None:
        """Write the steps to a file from which :func:`refine` does the same again."""
        write_steps(self.steps, path)

    def relativities(self, factor: str) -> pl.DataFrame:
        """Give one factor as fitted and as refined."""
        self.fitted.factor(factor)
        return self.frames["relativities"].filter(pl.col("term") == factor)

    def finding(self, lang: Language = "en") -> str:
        """Say who changed how much, and which step moved the deviance most."""
        facts = dict(self.facts)
        facts["people"] = ("、" if lang == "zh" else ", ").join(facts["people"])
        facts["kind"] = level_label(facts["kind"], lang)
        facts["factor"] = label(facts["factor"], lang) if facts["factor"] else "–"
        return say("finding.refinement", lang, **facts)

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw one factor (default: the one changed most) as fitted and as refined."""
        term = factor or self.facts["most_changed"]
        rows = self.relativities(term)
        levels = rows["level"].to_list()
        figure = interval_figure(
            levels,
            rows["fitted_relativity"].to_list(),
            [None] * rows.height,
            [None] * rows.height,
            name="fitted_relativity",
            factor=term,
            lang=lang,
            bars=rows["exposure"].to_list(),
            reference=1.0,
        )
        refined = rows["refined_relativity"].to_list()
        with_points(figure, levels, refined, name="refined_relativity", lang=lang, line=True)
        return figure.update_layout(yaxis={"title": {"text": label("relativity", lang)}})


def refine(
    model: RatingModel | Product,
    experience: Experience,
    steps: Sequence[Step] | str | Path,
    *,
    current: Tariff | None = None,
    refit: bool = False,
    per_unit: float = 1.0,
    **terms: Any,
) -> Refinement:
    """Refine a fitted model to a tariff by ordered steps, and audit each.

    Parameters
    ----------
    model : RatingModel or Product
        As :func:`pricing.tariff.fitted.tariff_of` takes it.
    experience : Experience
        Cells that weigh levels, totals and deviance; those of the fit, or newer ones.
    steps : sequence of Step, or path
        In order; a path is read by :func:`pricing.tariff.steps_file.read_steps`.
    current : Tariff, optional
        What is charged now: caps and totals may refer to it.
    refit : bool
        Put a :class:`~pricing.tariff.steps.Refit` behind the last step that groups or fixes
        relativities, where there is none later; it stands among ``.steps`` of the result.
    per_unit : float
        Currency per unit of the model's mean; the cost of a claim for a frequency.
    **terms
        Of the tariff: decimals, limits, loadings, valid_from. Rounding, limits and loadings are in
        its premiums and not in the audit, which is of base premium and relativities.

    Returns
    -------
    Refinement

    Raises
    ------
    InputError
        For steps on what is not there, a cap without a current tariff, a refit of a product, cells
        the model does not know: with every fault at once.

    Notes
    -----
    A refit is a maximum-likelihood fit with the held relativities as offset (McCullagh and Nelder
    1989, section 6.3.2); with every factor held and a Poisson model the base is
    Σ claims ÷ Σ exposure·relativity, the balance property. For a frequency × severity the change of
    deviance is that of a Tweedie model of power 1.5 of the amounts per policy-year.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame({"zip": ["a", "b", "b"], "exposure": [1.0] * 3, "claims": [2, 1, 3]})
    >>> seen = Experience.collect(rows, ["zip"])
    >>> step = Restrict(who="Li", when="2026-05-01", why="filed", factor="zip",
    ...                 relativities={"a": 1.0, "b": 0.5})
    >>> found = refine(fit_frequency(seen, "zip"), seen, [step], refit=True, decimals=None)
    >>> round(found.tariff.base_premium, 9), found.table["balance"].round(9).to_list()
    (3.0, [1.0, 0.666666667, 1.0])
    """
    wanted = read_steps(steps) if isinstance(steps, str | Path) else list(steps)
    odd = [type(s).__name__ for s in wanted if not isinstance(s, Step)]
    if odd or not wanted:
        raise InputError(
            f"steps that are none: {', '.join(odd)}" if odd else "there are no steps",
            do="give steps of pricing.tariff.steps, or the file they stand in",
        )
    if refit:
        wanted = _with_refit(wanted)
    fitted = tariff_of(model, per_unit=per_unit, **terms)
    if isinstance(model, Product) and any(isinstance(s, Refit) for s in wanted):
        raise InputError(
            "a frequency × severity is not refitted: held relativities do not say which part is held",
            do="refine a pure premium, or the frequency and the severity each",
        )
    without = model.details.get("without_inference")
    if without and any(isinstance(s, Refit) for s in wanted):
        raise InputError(
            f"a refit would not keep what the model was fitted under: {without}",
            do="refine it without a refit, and keep the total with a KeepTotal step",
        )
    require_steps(wanted, fitted, current)
    seen = against(model, experience, fitted, per_unit)
    rates = Rates(fitted.base_premium, {f.term: f for f in fitted.factors})
    states = [rates]
    for place, step in enumerate(wanted, start=1):
        try:
            rates = apply_step(step, rates, seen, fitted, current)
        except InputError as error:
            at = f"step {place} ({step.kind}): {error.problem}"
            raise InputError(at, faults=error.faults, do=error.do) from error
        states.append(rates)
    basis = _basis(model, seen, wanted, fitted, current)
    refined = assemble(rates.base_premium, list(rates.factors.values()), fitted.terms, basis)
    audit = _audit(states, wanted, seen)
    relativities = _relativities(fitted, refined, seen)
    details = {
        "tariff": dict(refined.details),
        "fitted": dict(fitted.details),
        "steps": [step.record() for step in wanted],
    }
    return Refinement(
        table=audit,
        basis=basis,
        facts=_facts(audit, relativities, fitted),
        frames={"relativities": relativities},
        details=details,
    )


def _with_refit(steps: list[Step]) -> list[Step]:
    kinds = (Group, Smooth, Restrict, SetLevel, CapChange)
    last = max((i for i, s in enumerate(steps) if isinstance(s, kinds)), default=-1)
    if last < 0 or any(isinstance(s, Refit) for s in steps[last:]):
        return steps
    step = steps[last]
    added = Refit(who=step.who, when=step.when, why=f"after step {last + 1}: {step.why}")
    return [*steps[: last + 1], added, *steps[last + 1 :]]


def _audit(states: Sequence[Rates], steps: Sequence[Step], seen: Against) -> pl.DataFrame:
    losses = [seen.loss(rates) for rates in states]
    totals = [seen.total(rates) for rates in states]
    top = seen.saturated
    rows = [
        {
            "step": place,
            "step_kind": step.kind if step else "start",
            "term": step.factor if step else None,
            "what": step.what() if step else "",
            "who": step.who if step else "",
            "when": step.when if step else "",
            "why": step.why if step else "",
            "deviance": None if top is None else top + losses[place],
            "deviance_change": losses[place] - losses[place - 1] if step else None,
            "total_premium": totals[place],
            "premium_change": totals[place] / totals[place - 1] - 1 if step else None,
            "balance": seen.balance(states[place]),
        }
        for place, step in enumerate([None, *steps])
    ]
    texts = dict.fromkeys(("step_kind", "term", "what", "who", "when", "why"), pl.String)
    numbers = ("deviance", "deviance_change", "total_premium", "premium_change", "balance")
    types = {"step": pl.Int64, **texts, **dict.fromkeys(numbers, pl.Float64)}
    return pl.DataFrame(rows, schema=types)


def _relativities(fitted: Tariff, refined: Tariff, seen: Against) -> pl.DataFrame:
    exposure = seen.experience.values("exposure")
    behind = [
        np.bincount(seen.codes[f.term], weights=exposure, minlength=len(f.relativities))
        for f in fitted.factors
    ]
    table = refined.table.select("term", "level", "charged_as", refined_relativity="relativity")
    return table.with_columns(
        exposure=pl.Series(np.concatenate([np.zeros(0), *behind]), dtype=pl.Float64),
        fitted_relativity=fitted.table["relativity"],
    ).select(
        "term",
        "level",
        "charged_as",
        "exposure",
        "fitted_relativity",
        "refined_relativity",
        relativity_change=pl.col("refined_relativity") / pl.col("fitted_relativity") - 1,
    )


def _facts(audit: pl.DataFrame, relativities: pl.DataFrame, fitted: Tariff) -> dict[str, Any]:
    taken = audit.slice(1)
    largest = taken.row(int(taken["deviance_change"].abs().arg_max() or 0), named=True)
    moved = relativities.sort(
        pl.col("relativity_change").abs(), descending=True, maintain_order=True
    )
    total = audit["total_premium"]
    return {
        "steps": taken.height,
        "people": taken["who"].unique(maintain_order=True).to_list(),
        "first": taken["when"].min(),
        "last": taken["when"].max(),
        "premium_change": total[-1] / total[0] - 1,
        "deviance_change": float(taken["deviance_change"].sum()),
        "balance": audit["balance"][-1],
        "largest": largest["step"],
        "kind": largest["step_kind"],
        "factor": largest["term"] or "",
        "most_changed": moved["term"][0] if moved.height else "",
        "currency": fitted.terms.currency,
    }


def _basis(
    model: RatingModel | Product,
    seen: Against,
    steps: Sequence[Step],
    fitted: Tariff,
    current: Tariff | None,
) -> Basis:
    notes = [f"refined in {len(steps)} steps"]
    if isinstance(model, Product):
        notes.append(f"change of deviance: Tweedie of power {POWER:g} on amounts per policy-year")
    told = [str(step.record()) for step in steps]
    now = current.basis.fingerprint if current is not None else ""
    return replace(
        seen.experience.basis,
        currency=fitted.terms.currency,
        fingerprint=fingerprint(
            seen.experience.basis.fingerprint, fitted.basis.fingerprint, now, *told
        ),
        notes=tuple(dict.fromkeys([*model.basis.notes, *notes])),
    )


def _tariff(details: dict[str, Any], basis: Basis) -> Tariff:
    bare = Tariff(table=pl.DataFrame(), details=details)
    return assemble(bare.base_premium, bare.factors, bare.terms, basis)
