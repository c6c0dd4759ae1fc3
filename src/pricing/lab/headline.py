"""The head of an answer: how many changes, the figures and of which tier they are, what does not move."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl

from pricing.lab.answers import Answer
from pricing.lab.blocks import Faces, figures_table
from pricing.lab.labels import part_label
from pricing.lab.opened import TIER, OpenStudy
from pricing.lab.session import Session
from pricing.result.words import Language, level_label, say

__all__ = ["headline_of", "notice_of", "still_said", "take_up_still", "tier_figures"]


def notice_of(
    found: Answer, session: Session, lang: Language, *, bad: int, milliseconds: float
) -> Any:
    """Say how many changes there are, or that something must be mended first.

    Examples
    --------
    >>> notice_of.__annotations__["bad"]
    'int'
    """
    from dash import html

    if bad or found.faults:
        return html.P(f"{say('lab.has_faults', lang)} {say('lab.before_wrong', lang)}", className="fault")  # fmt: skip
    if not session.change:
        return html.P(say("lab.no_change", lang), className="hint")
    said = say("lab.changes", lang, count=len(session.change))
    took = say("lab.took", lang, ms=milliseconds)
    return html.P([said, " · ", html.Small(took, id="took")], className="hint")


def headline_of(
    found: Answer, opened: OpenStudy, lang: Language, faces: Faces, *, tier: str, change: Mapping[str, Any]
) -> Any:  # fmt: skip
    """Give the headline figures of an answer, greyed where they are those before a wrong entry.

    Examples
    --------
    >>> headline_of.__annotations__["tier"]
    'str'
    """
    from dash import html

    if not found.figures.height:
        return ""
    heads = (say("lab.before", lang), say("lab.before_wrong_head" if found.stale else "lab.after", lang))  # fmt: skip
    still = "take_up" in found.figures["quantity"] and take_up_still(change)
    notes = {"take_up": still_said(lang)} if still else {}
    own = tier_figures(found.figures, opened, lang, faces, tier=tier, heads=heads, notes=notes)
    return html.Div(own, className="stale" if found.stale else "")


def tier_figures(
    figures: pl.DataFrame,
    opened: OpenStudy,
    lang: Language,
    faces: Faces,
    *,
    tier: str,
    heads: tuple[str, str],
    notes: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Give figures side by side, those of one tier under its name.

    Examples
    --------
    >>> tier_figures.__annotations__["tier"]
    'str'
    """
    parts: dict[str, str] = {}
    if opened.of_tier:
        of_tier = say("lab.of_tier", lang, tier=level_label(tier, lang))
        whole = say("lab.of_plan", lang)
        parts = {n: of_tier if n in opened.of_tier else whole for n in figures["quantity"]}
    return figures_table(
        figures, lang, faces, heads=heads, currency=opened.currency, parts=parts, notes=notes
    )


def take_up_still(change: Mapping[str, Any]) -> bool:
    """Tell whether terms of a tier were turned, to which take-up does not react.

    Examples
    --------
    >>> take_up_still({"tiers.tier.basic.deductible": 100.0}), take_up_still({"tiers.tier.basic.premium": 1.0})
    (True, False)
    """
    turned = {key.rpartition(".")[2] for key in change if key.startswith(TIER)}
    return bool(turned - {"premium"})


def still_said(lang: Language) -> str:
    """Say that take-up does not react to the terms, and what to turn as well.

    Examples
    --------
    >>> still_said("zh")[:9]
    '参保率不随免赔额、'
    """
    return say("lab.take_up_still", lang, field=part_label("cost_share", lang))
