"""The evaluation card of a health programme: each block passes, fails or is not shown, with its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["BLOCKS", "CardLine", "EvaluationCard", "evaluation_card"]

BLOCKS = (
    "measurement", "monotone_risk", "causal_effect", "finance", "dynamics", "behaviour", "fair_treatment",
    "compliance", "stability",
)  # fmt: skip
Relation = Literal["at_most", "at_least", "none"]
VERDICTS = ("pass", "fail", "not_shown")


@dataclass(frozen=True)
class CardLine:
    """One figure of the card.

    Attributes
    ----------
    block : str
        One of :data:`BLOCKS`.
    metric : str
        What is measured.
    value : float or None
        The figure; None where the study does not show it.
    relation : {"at_most", "at_least", "none"}
        How it must stand to ``threshold``; ``none`` for a figure that is shown for its own sake.
    threshold : float, optional
        Where it passes.
    """

    block: str
    metric: str
    value: float | None
    relation: Relation = "none"
    threshold: float | None = None

    @property
    def verdict(self) -> str:
        """Pass, fail or not_shown; a figure without a threshold passes by being shown."""
        if self.value is None:
            return "not_shown"
        if self.relation == "none" or self.threshold is None:
            return "pass"
        gap = self.value - self.threshold
        return "pass" if (gap <= 1e-9 if self.relation == "at_most" else gap >= -1e-9) else "fail"


class EvaluationCard(Result):
    """The card; ``.table``: block, metric, metric_value, relation, threshold, verdict.

    ``.frames["blocks"]``: block, verdict: fail where any line fails, else not_shown where any is not.
    """

    kind = "evaluation_card"

    def finding(self, lang: Language = "en") -> str:
        """Say how many blocks pass, and which fail."""
        blocks = self.frames["blocks"]
        named = {
            v: ("、" if lang == "zh" else ", ").join(
                level_label(b, lang) for b in blocks.filter(verdict=v)["block"].to_list()
            )
            for v in VERDICTS
        }  # fmt: skip
        said = say("finding.evaluation_card", lang, **self.facts)
        if self.facts["fail"]:
            said += say("sentence.card_fails", lang, named=named["fail"])
        if self.facts["not_shown"]:
            said += say("sentence.card_not_shown", lang, named=named["not_shown"])
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw how many lines of each block pass, fail and are not shown."""
        counts = self.table.group_by("block", "verdict").agg(lines=pl.len())
        blocks = [b for b in BLOCKS if b in self.table["block"].to_list()][::-1]
        figure = go.Figure(layout={"template": "pricing", "barmode": "stack", "height": 420})
        shades = {"pass": COLOURS["third"], "fail": COLOURS["second"], "not_shown": COLOURS["bars"]}
        for verdict in VERDICTS:
            own = dict(counts.filter(verdict=verdict).select("block", "lines").iter_rows())
            figure.add_bar(
                y=[level_label(b, lang) for b in blocks],
                x=[own.get(b, 0) for b in blocks],
                orientation="h",
                name=level_label(verdict, lang),
                marker_color=shades[verdict],
            )
        return figure.update_layout(xaxis={"title": {"text": label("lines", lang)}, "dtick": 1})


def evaluation_card(lines: Sequence[CardLine], *, basis: Basis | None = None) -> EvaluationCard:
    """Lay the lines of a programme's evaluation out, block by block.

    Parameters
    ----------
    lines : sequence of CardLine
        In any order; blocks without a line stand as not shown.
    basis : Basis, optional
        Of the study.

    Raises
    ------
    InputError
        For blocks that are none, and a metric that stands twice in a block.

    Notes
    -----
    Blocks and thresholds: the project's reference health_value.md, F6 (2025).

    Examples
    --------
    >>> card = evaluation_card([CardLine("stability", "value_stability", 0.05, "at_most", 0.2),
    ...                         CardLine("finance", "service_check", 0.0, "at_least", 1.0)])
    >>> card.facts["passed"], card.facts["fail"], card.facts["not_shown"]
    (1, 1, 7)
    """
    faults = [f"no block {line.block!r}" for line in lines if line.block not in BLOCKS]
    named = [(line.block, line.metric) for line in lines]
    faults += [
        f"{b}: {m} stands twice" for b, m in sorted({n for n in named if named.count(n) > 1})
    ]
    if faults:
        raise InputError("the card cannot be laid out", faults=faults)
    known = {line.block for line in lines}
    every = [*lines, *(CardLine(b, "nothing_measured", None) for b in BLOCKS if b not in known)]
    every.sort(key=lambda line: BLOCKS.index(line.block))
    table = pl.DataFrame(
        {
            "block": [x.block for x in every],
            "metric": [x.metric for x in every],
            "metric_value": [x.value for x in every],
            "relation": [x.relation for x in every],
            "threshold": [x.threshold for x in every],
            "verdict": [x.verdict for x in every],
        },
        schema_overrides={"metric_value": pl.Float64, "threshold": pl.Float64},
    )
    verdicts = {b: [x.verdict for x in every if x.block == b] for b in BLOCKS}
    whole = {
        b: max(v, key=lambda x: ("pass", "not_shown", "fail").index(x)) for b, v in verdicts.items()
    }
    blocks = pl.DataFrame({"block": list(whole), "verdict": list(whole.values())})
    counts = {v: list(whole.values()).count(v) for v in VERDICTS}
    facts = {"blocks": len(BLOCKS), "passed": counts.pop("pass"), **counts}
    basis = basis or Basis()
    hashed = fingerprint(basis.fingerprint, str(table.rows()))
    return EvaluationCard(
        table=table,
        basis=replace(basis, fingerprint=hashed),
        facts=facts,
        frames={"blocks": blocks},
    )
