"""Do the relativities by health group hold in later years?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import plotly.graph_objects as go
import polars as pl

from pricing.claims.clusters import cluster_errors
from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.expected import actual_to_expected
from pricing.files import fingerprint
from pricing.health.effect import Cluster
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say

__all__ = ["GroupsLater", "groups_later"]


class GroupsLater(Result):
    """Relativity by group in the years fitted and in later ones; ``.table``: health_group, exposure,
    claims (later), relativity_earlier, relativity (later) with lower and upper, actual_to_expected with
    expected_lower and expected_upper: later claims over what the earlier years expect.
    """

    kind = "groups_later"

    def finding(self, lang: Language = "en") -> str:
        """Say how the healthiest group's relativity held, and whether the order did."""
        facts = {**self.facts, "best": level_label(self.facts["best"], lang)}
        held = "order_held" if facts["violations"] == 0 else "order_broken"
        return say("finding.groups_later", lang, **facts) + say(f"sentence.{held}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the later relativities with their intervals beside the earlier ones."""
        t = self.table
        groups = t["health_group"].to_list()
        figure = interval_figure(
            groups, t["relativity"].to_list(), t["lower"].to_list(), t["upper"].to_list(),
            name="relativity", factor="health_group", lang=lang, bars=t["exposure"].to_list(), reference=1.0,
        )  # fmt: skip
        return with_points(
            figure, groups, t["relativity_earlier"].to_list(), name="relativity_earlier", lang=lang
        )


def groups_later(
    earlier: Experience,
    later: Experience,
    formula: str,
    *,
    group: str = "health_group",
    order: Sequence[str] | None = None,
    level: float = 0.95,
    cluster: Cluster | None = None,
) -> GroupsLater:
    """Hold the relativities by health group of earlier years against later claims.

    Parameters
    ----------
    earlier, later : Experience
        Cells with ``group`` and the formula's keys; the groups were set before each period.
    formula, group, order, level
        As in :func:`pricing.health.effect.group_effect`.
    cluster : (rows, column), optional
        The later rows and the column that names the person.

    Returns
    -------
    GroupsLater
        ``.facts``: violations (neighbouring groups whose later relativities rise with health by more
        than the ``level`` interval of their difference allows for).

    Raises
    ------
    InputError
        As the fits.

    Examples
    --------
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...                      "claims": [1, 3] * 20 + [0, 2] * 20})
    >>> seen = Experience.collect(rows, ["health_group"])
    >>> groups_later(seen, seen, "1").table.select("relativity_earlier", "relativity").row(1)
    (0.5, 0.5)
    """
    groups = list(order) if order else later.by(group).cells[group].cast(pl.String).to_list()
    for name, experience in (("earlier", earlier), ("later", later)):
        there = experience.by(group).cells.filter(pl.col("exposure") > 0)[group].cast(pl.String)
        if lacking := [g for g in groups if g not in there.to_list()]:
            raise InputError(
                f"the {name} years have nobody in {', '.join(lacking)}",
                where=group,
                do="leave the group out of both, or join it with its neighbour",
            )
    text = f"{formula} + {group}"
    before = fit_frequency(earlier, text, base={group: groups[0]}, level=level)
    after = fit_frequency(later, text, base={group: groups[0]}, level=level)
    if cluster is not None:
        after = cluster_errors(after, cluster[0], by=cluster[1])
    one = before.relativities(group).select(health_group="level", relativity_earlier="relativity")
    two = after.relativities(group).select("relativity", "lower", "upper", health_group="level")
    held = actual_to_expected(later, before.rate(), group, level=level).table
    held = held.select(
        pl.col(group).cast(pl.String).alias("health_group"), "exposure", "claims",
        "actual_to_expected", expected_lower="lower", expected_upper="upper",
    )  # fmt: skip
    table = pl.DataFrame({"health_group": groups})
    for part in (
        held.select("health_group", "exposure", "claims"),
        one,
        two,
        held.drop("exposure", "claims"),
    ):
        table = table.join(part, on="health_group", how="left", maintain_order="left")
    worse = 0
    for a, b in pairwise(groups):
        pair = fit_frequency(later, text, base={group: a}, level=level)
        pair = cluster_errors(pair, cluster[0], by=cluster[1]) if cluster else pair
        worse += int(pair.relativities(group).filter(pl.col("level") == b)["lower"].item() > 1)
    last = table.row(-1, named=True)
    facts = {
        "violations": worse, "best": groups[-1], "level": level, "earlier": last["relativity_earlier"],
        "later": last["relativity"], "lower": last["lower"], "upper": last["upper"],
        "actual_to_expected": last["actual_to_expected"],
    }  # fmt: skip
    hashed = fingerprint(before.basis.fingerprint, after.basis.fingerprint)
    return GroupsLater(table=table, basis=replace(after.basis, fingerprint=hashed), facts=facts)
