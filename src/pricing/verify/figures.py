"""The list of published figures, as printed, beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.errors import InputError, nearest

__all__ = ["AREAS", "WITH_DATASETS", "Figure", "figures"]


@dataclass(frozen=True)
class Figure:
    """One published figure and ours.

    Attributes
    ----------
    area, name, source : str
        What it is and where it was printed.
    printed : str
        The figure as printed; half a unit of its last digit is the tolerance.
    ours : float
        What this package computes.
    within : float, optional
        Relative tolerance where a figure is predicted, not reproduced: 0.10 for a tenth.

    Examples
    --------
    >>> figure = Figure("claims", "x", "a book, 2001", "0.35", 0.3461)
    >>> figure.tolerance, figure.ok
    (0.005, True)
    """

    area: str
    name: str
    source: str
    printed: str
    ours: float
    within: float | None = None

    @property
    def published(self) -> float:
        """The printed figure as a number."""
        return float(Decimal(self.printed))

    @property
    def tolerance(self) -> float:
        """Half a unit of the last printed digit, or the share of the figure that is allowed."""
        if self.within is not None:
            return abs(self.published) * self.within
        exponent = Decimal(self.printed).as_tuple().exponent
        return float(Decimal(5).scaleb(int(exponent) - 1))

    @property
    def ok(self) -> bool:
        """Whether ours rounds to what was printed (a hair is left for the last bit)."""
        return abs(self.ours - self.published) <= self.tolerance * (1 + 1e-9)

    def record(self) -> dict[str, Any]:
        """The figure as ``pricing verify --json`` prints it."""
        return {
            "area": self.area,
            "name": self.name,
            "source": self.source,
            "published": self.published,
            "ours": self.ours,
            "tolerance": self.tolerance,
            "ok": self.ok,
        }


def figures(area: str | None = None, *, datasets: Path | None = None) -> list[Figure]:
    """Compute every published figure of an area, or of all.

    Parameters
    ----------
    area : str, optional
        One of :data:`AREAS`, or of :data:`WITH_DATASETS`; all that can be computed where left out.
    datasets : Path, optional
        Folder of published data sets that may not be shipped; their areas need it.

    Raises
    ------
    InputError
        For an unknown area, and one whose data sets are not at hand.

    Examples
    --------
    >>> all(figure.ok for figure in figures("credibility"))
    True
    """
    every = [*AREAS, *WITH_DATASETS]
    if area is not None and area not in every:
        raise InputError(f"no area {area!r}{nearest(area, every)}")
    if area in WITH_DATASETS and datasets is None:
        raise InputError(
            f"area {area!r} needs data sets that may not be shipped",
            do="give their folder: pricing verify --datasets FOLDER",
        )
    found = [f for name, compute in AREAS.items() if area in (None, name) for f in compute()]
    if datasets is not None:
        for name, with_data in WITH_DATASETS.items():
            found += with_data(datasets) if area in (None, name) else []
    return found


def _compare(
    area: str,
    source: str,
    printed: Mapping[str, str],
    ours: Mapping[str, float],
    *,
    within: float | None = None,
) -> Iterable[Figure]:
    return [
        Figure(area, name, source, text, float(ours[name]), within)
        for name, text in printed.items()
    ]


def _aggregate() -> list[Figure]:
    from pricing.verify import aggregate

    found: list[Figure] = []
    for source, printed, ours in (
        aggregate.group_dental(),
        aggregate.modified_claims(),
        aggregate.exercises(),
    ):
        found += _compare("aggregate", source, printed, ours)
    return found


def _motor(datasets: Path) -> list[Figure]:
    from pricing.verify import motor

    return [
        *_compare("motor", *motor.schelldorfer_wuthrich(datasets)),
        *_compare("motor", *motor.scikit_learn_poisson(datasets)),
    ]


def _panel(datasets: Path) -> list[Figure]:
    from pricing.verify import panel

    return [*_compare("panel", *panel.heart_transplants(datasets))]


def _claims() -> list[Figure]:
    from pricing.verify import claims

    found: list[Figure] = []
    for source, printed, ours in (claims.randhie(), claims.ships(), claims.dobson()):
        found += _compare("claims", source, printed, ours)
    return found


def _credibility() -> list[Figure]:
    from pricing.verify import credibility

    found: list[Figure] = []
    for source, printed, ours in (
        credibility.buhlmann_straub_figures(),
        credibility.buhlmann_figures(),
        credibility.hierarchical_figures(),
        credibility.full_credibility_figures(),
    ):
        found += _compare("credibility", source, printed, ours)
    return found


def _exposure() -> list[Figure]:
    from pricing.verify import exposure

    found: list[Figure] = []
    for source, printed, ours in (exposure.actxps_toy_census(), exposure.experience_analysis()):
        found += _compare("exposure", source, printed, ours)
    return found


def _tables() -> list[Figure]:
    from pricing.verify import tables

    found: list[Figure] = []
    for source, printed, ours in (
        *tables.lifetimes(),
        *tables.sample_values(),
        tables.matrices(),
        tables.intensities(),
    ):
        found += _compare("tables", source, printed, ours)
    return found


def _loss_ratio() -> list[Figure]:
    from pricing.verify import loss_ratio

    found: list[Figure] = []
    for source, printed, ours in (
        loss_ratio.user_guide(),
        loss_ratio.one_change(),
        loss_ratio.terms_of_two_years(),
    ):
        found += _compare("loss_ratio", source, printed, ours)
    return found


def _models() -> list[Figure]:
    from pricing.verify import choice, models

    return [
        figure
        for source, printed, ours in (
            *models.families(),
            choice.linear_case(),
            choice.red_and_blue_bus(),
        )
        for figure in _compare("models", source, printed, ours)
    ]


def _multistate() -> list[Figure]:
    from pricing.verify import disability, multistate

    found: list[Figure] = []
    for source, printed, ours in (
        multistate.five_lives(),
        multistate.crude_rates(),
        disability.chinese_grades(),
        disability.chinese_mortality_ratios(),
    ):
        found += _compare("multistate", source, printed, ours)
    return found


def _reserving() -> list[Figure]:
    from pricing.verify import reserving

    found: list[Figure] = []
    for source, printed, ours in (reserving.raa_figures(), reserving.genins_figures()):
        found += _compare("reserving", source, printed, ours)
    return found


def _regulation() -> list[Figure]:
    from pricing.verify import regulation

    found: list[Figure] = []
    for source, printed, ours in (
        regulation.gate_cases(),
        regulation.worked_loss_ratio(),
        regulation.service_caps(),
    ):
        found += _compare("regulation", source, printed, ours)
    return found


def _survival() -> list[Figure]:
    from pricing.verify import hazards, lifetimes, survival

    found: list[Figure] = []
    for source, printed, ours in (
        survival.lung_figures(),
        survival.lung_by_performance(),
        survival.fine_gray_toy(),
        hazards.prisoners(),
        hazards.lung_regression(),
        lifetimes.lung_weibull(),
    ):
        found += _compare("survival", source, printed, ours)
    return found


def _annuities() -> list[Figure]:
    from pricing.verify import annuities

    found: list[Figure] = []
    for source, printed, ours in (
        *annuities.sickness_death(),
        annuities.danish_values(),
        annuities.danish_values_at_five_percent(),
        *annuities.standard_ultimate(),
        annuities.chinese_annuities(),
        annuities.chinese_critical_illness(),
        annuities.chinese_disability(),
    ):
        found += _compare("annuities", source, printed, ours)
    return found


def _health() -> list[Figure]:
    from pricing.verify import activity, health, scales

    found: list[Figure] = []
    for source, printed, ours in (
        health.worked_example(),
        health.hong_kong_stars(),
        health.new_zealand_walk(),
        scales.published_scales(),
        scales.recomputed_scales(),
        scales.star_scheme(),
        scales.status_walk(),
        scales.score_bands(),
        scales.feasibility(),
        activity.step_reliability(),
        activity.hba1c_units(),
    ):
        found += _compare("health", source, printed, ours)
    return found


def _causal() -> list[Figure]:
    from pricing.verify import causal

    found: list[Figure] = []
    for source, printed, ours in (
        causal.birth_weight(),
        causal.selection_bias(),
        causal.closed_forms(),
    ):
        found += _compare("causal", source, printed, ours)
    return found


def _reassessment() -> list[Figure]:
    from pricing.verify import reassessment as own

    found: list[Figure] = []
    for source, printed, ours in (own.yantai_round(), own.american_reviews()):
        found += _compare("reassessment", source, printed, ours)
    return found


def _services() -> list[Figure]:
    from pricing.verify import services as s

    every = (s.erlang(), s.waits(), s.channel_incidence(), s.capacities())
    return [figure for said in every for figure in _compare("services", *said)]


def _care() -> list[Figure]:
    from pricing.verify import care

    found: list[Figure] = []
    for source, printed, ours in (
        care.definitions(),
        care.matrices(),
        care.grading_table(),
        care.scheme_arithmetic(),
    ):
        found += _compare("care", source, printed, ours)
    return found


def _sharing() -> list[Figure]:
    from pricing.verify import sharing

    both = (sharing.four_members(), sharing.mutual_aid_share())
    return [figure for found in both for figure in _compare("sharing", *found)]


def _tiers() -> list[Figure]:
    from pricing.verify import tiers

    cases = (
        tiers.coverage(),
        tiers.excess_layer(),
        tiers.stop_loss_table(),
        tiers.tier_algebra(),
    )
    return [f for case in cases for f in _compare("tiers", *case)]


def _mutual_aid() -> list[Figure]:
    from pricing.verify import mutual_aid

    found: list[Figure] = []
    for source, printed, ours in (
        mutual_aid.share_example(),
        mutual_aid.own_costs(),
        mutual_aid.spirals(),
        mutual_aid.backed_out(),
        mutual_aid.published_shares(),
    ):
        found += _compare("mutual_aid", source, printed, ours)
    return [*found, *_compare("mutual_aid", *mutual_aid.predicted_shares(), within=0.10)]


AREAS: Mapping[str, Callable[[], list[Figure]]] = {
    "aggregate": _aggregate,
    "annuities": _annuities,
    "care": _care,
    "causal": _causal,
    "claims": _claims,
    "credibility": _credibility,
    "exposure": _exposure,
    "health": _health,
    "loss_ratio": _loss_ratio,
    "models": _models,
    "multistate": _multistate,
    "reassessment": _reassessment,
    "mutual_aid": _mutual_aid,
    "regulation": _regulation,
    "reserving": _reserving,
    "services": _services,
    "sharing": _sharing,
    "survival": _survival,
    "tables": _tables,
    "tiers": _tiers,
}

WITH_DATASETS: Mapping[str, Callable[[Path], list[Figure]]] = {"motor": _motor, "panel": _panel}
