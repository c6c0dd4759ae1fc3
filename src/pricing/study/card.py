"""The evaluation card of a study's programme, from what the study computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
from scipy.special import ndtri

from pricing.experience.bands import band
from pricing.health.card import CardLine, EvaluationCard, evaluation_card
from pricing.result.shape import Basis, Result
from pricing.validation.stability import stability

if TYPE_CHECKING:
    from pricing.study.chain import Study

__all__ = ["card_of"]

EDGES = [
    float(x) for x in range(0, 1_000, 100)
]  # bands of the health value whose shares are compared


def card_of(study: Study, results: Mapping[str, Result]) -> EvaluationCard:
    """Lay out what a management board and a regulator ask of a programme, with thresholds.

    Parameters
    ----------
    study : Study
        With its tables.
    results : mapping of str to Result
        All of its results.

    Returns
    -------
    EvaluationCard
        Blocks the study says nothing of stand as not shown.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> card_of(open_study(bundled("studies/randhie.toml")), {}).facts["not_shown"]
    9
    """
    lines = [
        *_measured(study),
        *_monotone(results),
        *_causal(results),
        *_finance(results),
        *_dynamics(results),
        *_behaviour(results),
        *_fair(results),
        *_compliance(results),
        *_stable(study),
    ]
    notes = study.persons.basis.notes  # of a large book: the persons drawn
    basis = Basis(source=study.name, period=study.period, currency=study.settings.study.currency,
                  fingerprint=study.fingerprint, notes=notes)  # fmt: skip
    return evaluation_card(lines, basis=basis)


def _facts(results: Mapping[str, Result], name: str) -> Mapping[str, Any]:
    return results[name].facts if name in results else {}


def _measured(study: Study) -> list[CardLine]:
    """Share of members with a health value."""
    value = study.settings.discount.value
    if value is None:
        return []
    members = _members(study.persons.person_years.rows)
    if members.is_empty():
        return []
    shown = 1 - members[value].null_count() / members.height
    return [CardLine("measurement", "share_with_value", shown, "at_least", 0.70)]


def _members(rows: pl.DataFrame) -> pl.DataFrame:
    """Member years after the first: nobody has a value in the year of joining."""
    if "in_programme" not in rows.columns or "policy_id" not in rows.columns:
        return rows.clear()
    inside = pl.col("in_programme").cast(pl.String).is_in(["true", "yes"])
    before = inside.shift(1).over("policy_id", order_by="policy_year").fill_null(False)
    return rows.filter(inside & before)


def _monotone(results: Mapping[str, Result]) -> list[CardLine]:
    later, lorenz = results.get("groups_later"), _facts(results, "lorenz")
    lines = []
    if later is not None:
        t = later.table
        off = t.filter((pl.col("expected_lower") > 1.05) | (pl.col("expected_upper") < 0.95)).height
        lines += [
            CardLine(
                "monotone_risk",
                "order_violations",
                float(later.facts["violations"]),
                "at_most",
                0.0,
            ),
            CardLine("monotone_risk", "groups_off_expected", float(off), "at_most", 0.0),
        ]
    if "gini" in lorenz:
        lines.append(CardLine("monotone_risk", "gini_unseen", float(lorenz["gini"])))
    return lines


def _causal(results: Mapping[str, Result]) -> list[CardLine]:
    """Reported with its interval; a saving is booked only where the lower 80 % end is above nil."""
    effect, checks = _facts(results, "side_by_side"), _facts(results, "falsification")
    if not effect:
        return []
    reach = (effect["upper"] - effect["lower"]) / (2 * float(ndtri(0.5 + effect["level"] / 2)))
    lines = [
        CardLine("causal_effect", "saving_believed", -effect["believed"]),
        CardLine("causal_effect", "saving_lower_80", -effect["believed"] - float(ndtri(0.9)) * reach, "at_least", 0.0),
        CardLine("causal_effect", "e_value", effect["e_value"]),
    ]  # fmt: skip
    if effect.get("p_trend") is not None:
        lines.append(
            CardLine("causal_effect", "trend_before_p", effect["p_trend"], "at_least", 0.05)
        )
    if checks:
        lines.append(
            CardLine("causal_effect", "placebo_failures", float(checks["failed"]), "at_most", 0.0)
        )
    return lines


def _finance(results: Mapping[str, Result]) -> list[CardLine]:
    schedule, ratio = _facts(results, "schedule"), _facts(results, "regulatory_loss_ratio")
    permissible, stress = _facts(results, "permissible"), _facts(results, "stress")
    lines = []
    if schedule:
        lines.append(CardLine("finance", "mean_discount_charged", schedule["mean_discount"]))
    if ratio:
        lines.append(CardLine("finance", "gate_loss_ratio", ratio["ratio"]))
    if permissible and schedule:
        most = permissible["permissible"]
        lines.append(
            CardLine(
                "finance", "loss_ratio_with_schedule", schedule["loss_ratio_after"], "at_most", most
            )
        )
    if stress:
        lines.append(
            CardLine(
                "finance",
                "loss_ratio_if_gamed",
                stress["base"] + stress["gaming_change"] / 100,
                "at_most",
                1.0,
            )
        )
    return lines


def _dynamics(results: Mapping[str, Result]) -> list[CardLine]:
    moves, projection = results.get("group_moves"), results.get("projection")
    lines = []
    if moves is not None:
        order = {g: i for i, g in enumerate(moves.table["from_group"].unique(maintain_order=True))}
        far = max(
            (abs(order[a] - order[b]) for a, b, n in moves.table.select("from_group", "to_group", "moves").iter_rows() if n > 0),
            default=0,
        )  # fmt: skip
        lines.append(CardLine("dynamics", "largest_move", float(far)))
    if projection is not None:
        lost = projection.frames["premium_changes"]["discount_lost_p95"].max()
        lines.append(CardLine("dynamics", "discount_lost_p95", float(lost), "at_most", 0.05))  # type: ignore[arg-type]
    return lines


def _behaviour(results: Mapping[str, Result]) -> list[CardLine]:
    """Do values bunch on the good side of a cut-off?"""
    found = [r.facts for n, r in results.items() if n.startswith("price_discontinuity:")]
    worst = min((f["density_p"] for f in found if f.get("density_p") is not None), default=None)
    return (
        []
        if worst is None
        else [CardLine("behaviour", "bunching_p", float(worst), "at_least", 0.05)]
    )


def _fair(results: Mapping[str, Result]) -> list[CardLine]:
    design = results.get("schedule_design")
    if design is None:
        return []
    fair = design.frames["limits"].filter(limit="fairness")
    if fair.is_empty():
        return []
    gap, most = fair["value"].max(), fair["bound"].min()
    return [CardLine("fair_treatment", "largest_gap", float(gap), "at_most", float(most))]  # type: ignore[arg-type]


def _compliance(results: Mapping[str, Result]) -> list[CardLine]:
    lines = []
    for name, metric in (
        ("rate_adjustment_check", "gate_passed"),
        ("service_cost_check", "service_cap_passed"),
        ("check:loading", "loading_passed"),
    ):
        verdict = _facts(results, name).get("verdict")
        if verdict in ("pass", "fail"):
            lines.append(CardLine("compliance", metric, float(verdict == "pass"), "at_least", 1.0))
    return lines


def _stable(study: Study) -> list[CardLine]:
    value, years = study.settings.discount.value, study.years
    if value is None or len(years) < 2:
        return []
    rows = study.persons.person_years.rows.filter(pl.col(value).is_not_null())
    rows = rows.with_columns(health_value_band=band(value, EDGES))
    one, two = (rows.filter(pl.col(study.year) == y) for y in years[-2:])
    if one.is_empty() or two.is_empty():
        return []
    found = stability(*(study.persons.collect(part, ["health_value_band"]) for part in (one, two)))
    return [CardLine("stability", "value_psi", float(found.table["index"][0]), "at_most", 0.2)]
