"""Claims over an interface and alarms of watches: messages to claims, alarms before the term to claim frequency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
from pydantic import Field, model_validator

from pricing.activity.alarms import alarm_rates
from pricing.claims.alarm_effect import AlarmEffect, alarm_effect
from pricing.data.alarm_book import simulate_alarms
from pricing.data.check import check, check_book
from pricing.data.claim_messages import GOOD, LinkedClaims, claims_of_messages
from pricing.errors import InputError
from pricing.experience.bands import band, band_labels
from pricing.experience.person_years import person_years
from pricing.files import fingerprint
from pricing.plans.lately import Lately
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.study.sections import Strict

__all__ = ["ClaimLink", "ClaimsLinkSection", "headline", "prepare", "results", "simulate"]

TABLES = ("policies", "renewals", "watches", "alarms", "claim_messages")


class ClaimsLinkSection(Strict):
    """``[claims_link]``: how messages are read, which alarms count for a term."""

    prefix: str = Field(
        default="AJ", min_length=1, description="What the plan's policy numbers begin with"
    )
    paths: dict[str, str] = Field(
        default_factory=dict, description="Our name of a field, and its place in the message"
    )
    statuses: dict[str, str] = Field(
        default_factory=dict, description="Their words, and ours: open, paid, withdrawn"
    )
    most_amount: float = Field(
        default=1e8, gt=0, description="A larger amount is set aside, currency"
    )
    lookback_days: int = Field(
        default=365, ge=30, le=1100, description="Days before a term whose alarms count"
    )
    least_watched: float = Field(
        default=0.25, gt=0, le=3, description="Years worn in them, below which nothing is said"
    )
    many_alarms: float = Field(
        default=2.0, gt=0, description="Alarms a watched year from which they are many"
    )
    confirmed_only: bool = Field(default=False, description="Only alarms that were confirmed")
    first_year: int = Field(
        default=1,
        ge=0,
        description="First policy year looked at: earlier ones have no alarms to look back on",
    )
    age_edges: list[float] = Field(
        default=[0, 65, 70, 75, 80], min_length=1, description="Lower edges of the age bands"
    )
    level: float = Field(default=0.95, gt=0, lt=1, description="Level of the intervals")

    @model_validator(mode="after")
    def _limits(self) -> ClaimsLinkSection:
        if self.least_watched > self.lookback_days / 365:
            raise ValueError("least_watched must lie within lookback_days")
        if sorted(set(self.age_edges)) != self.age_edges:
            raise ValueError("age_edges must rise")
        return self

    @property
    def reading(self) -> tuple[Any, ...]:
        """The keys on which the claims depend."""
        return (
            self.prefix,
            tuple(self.paths.items()),
            tuple(self.statuses.items()),
            self.most_amount,
        )


@dataclass(frozen=True)
class Prepared:
    """The tables, the claims their messages tell of, and the person-years with these claims."""

    tables: Mapping[str, pl.DataFrame]
    reading: tuple[Any, ...]
    link: LinkedClaims
    refused: pl.DataFrame
    terms: pl.DataFrame
    lately: Lately[Any] = field(default_factory=Lately, repr=False, compare=False)


class ClaimLink(Result):
    """What an interface's messages came to.

    ``.table``: set_aside_reason, messages; every line counts once. ``.frames``: lines (each line set
    aside, with its reason), history (of every claim: versions, amounts, status), reasons (claims read
    but refused by their contract, by rule).
    """

    kind = "claim_link"

    def finding(self, lang: Language = "en") -> str:
        """Say how many claims the messages hold, and what was set aside."""
        between = say("sentence.list_separator", lang)
        aside = self.table.filter(~pl.col("set_aside_reason").is_in(GOOD))
        named = [f"{level_label(reason, lang)} {n:,}" for reason, n in aside.rows()]
        reasons = between.join(named) or say("sentence.claim_link_clean", lang)
        said = say("finding.claim_link", lang, **(dict(self.facts) | {"reasons": reasons}))
        refused = self.facts["refused"]
        return said + (say("sentence.claim_link_refused", lang, refused=refused) if refused else "")

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the messages by what became of them."""
        rows = self.table.reverse()
        good = rows["set_aside_reason"].is_in(GOOD)
        figure = go.Figure(
            layout={"template": "pricing", "height": max(300, 120 + 34 * rows.height)}
        )
        figure.add_bar(
            y=[level_label(r, lang) for r in rows["set_aside_reason"]],
            x=rows["messages"].to_list(),
            orientation="h",
            text=[f"{n:,}" for n in rows["messages"]],
            textposition="auto",
            marker={"color": [COLOURS["estimate"] if g else COLOURS["second"] for g in good]},
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("messages", lang)}, "type": "log" if rows["messages"].max() > 100 * rows["messages"].min() else "linear"},  # type: ignore[operator]
            yaxis={"showgrid": False},
            hovermode="closest",
        )  # fmt: skip


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write a simulated plan with watches, alarms, and claims told over the interface.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=3, seed=1)
    >>> (folder / "claim_messages").is_dir()
    True
    """
    simulate_alarms(folder, members=members, seed=seed)


def prepare(
    section: ClaimsLinkSection, tables: Mapping[str, pl.DataFrame], basis: Basis
) -> Prepared:
    """Read the messages to claims, hold these against their contract, and count them to person-years.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=20, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in TABLES}
    >>> prepare(ClaimsLinkSection(), tables, Basis()).terms.height
    60
    """
    del basis
    kept = {name: tables[name].drop(pl.selectors.starts_with("_")) for name in TABLES}
    return _read(section, kept)


def _read(section: ClaimsLinkSection, tables: Mapping[str, pl.DataFrame]) -> Prepared:
    link = claims_of_messages(
        tables["claim_messages"], prefix=section.prefix, paths=section.paths,
        statuses=section.statuses, most_amount=section.most_amount,
    )  # fmt: skip
    if link.claims.is_empty():
        raise InputError(
            "the messages hold no claim",
            where="claim_messages",
            faults=[f"{reason}: {n:,}" for reason, n in link.reasons.rows()],
            do="check the prefix, the paths and the statuses",
        )
    held = check_book({
        "policies": check(tables["policies"], "policies"),
        "claims": check(link.claims, "claims"),
    })["claims"]  # fmt: skip
    refused = held.faults.select("rule", "count", "meaning")
    rows = person_years(tables["policies"], tables["renewals"], held.accepted).rows
    return Prepared(tables, section.reading, link, refused, rows)


def results(section: ClaimsLinkSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what became of the messages, and claims by the alarms before the term.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=400, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in TABLES}
    >>> list(results(ClaimsLinkSection(), prepare(ClaimsLinkSection(), tables, Basis()), Basis()))
    ['claim_link', 'alarm_effect']
    """
    prepared = _again(section, prepared)
    told = fingerprint(basis.fingerprint, section.model_dump_json())
    basis = replace(basis, fingerprint=told)
    return {"claim_link": _link(prepared, basis), "alarm_effect": _effect(section, prepared, basis)}


def headline(section: ClaimsLinkSection, prepared: Prepared) -> dict[str, float]:
    """Give the relativity of many alarms, its lower end, the share watched and the claims read.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=400, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in TABLES}
    >>> headline(ClaimsLinkSection(), prepare(ClaimsLinkSection(), tables, Basis()))["messages_aside"]
    6.0
    """
    prepared = _again(section, prepared)
    effect = _effect(section, prepared, Basis())
    many = effect.table.filter(level="many_alarms")
    row = many.row(0, named=True) if many.height else {"relativity": 1.0, "lower": 1.0}
    return {
        "many_alarms_ratio": float(row["relativity"]),
        "many_alarms_lower": float(row["lower"]),
        "watched_share": float(effect.facts["share"]),
        "claims_linked": float(prepared.link.claims.height),
        "messages_aside": float(prepared.link.aside.height),
    }


def at_once(section: ClaimsLinkSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a rule is dragged: claims by the alarms before the term."""
    return {"alarm_effect": _effect(section, _again(section, prepared), basis)}


def _again(section: ClaimsLinkSection, prepared: Prepared) -> Prepared:
    if section.reading == prepared.reading:
        return prepared
    key = ("read", repr(section.reading))
    found: Prepared = prepared.lately.of(key, lambda: _read(section, prepared.tables))
    return found


def _effect(section: ClaimsLinkSection, prepared: Prepared, basis: Basis) -> AlarmEffect:
    key = ("effect", section.model_dump_json(), basis)
    found: AlarmEffect = prepared.lately.of(key, lambda: _alarmed(section, prepared, basis))
    return found


def _alarmed(section: ClaimsLinkSection, prepared: Prepared, basis: Basis) -> AlarmEffect:
    terms = prepared.terms.filter(pl.col("policy_year") >= section.first_year)
    if terms.is_empty():
        raise InputError(
            f"no policy year from {section.first_year} on", where="claims_link.first_year"
        )
    rows = alarm_rates(
        terms, prepared.tables["alarms"], prepared.tables["watches"], lookback=section.lookback_days,
        least=section.least_watched, many=section.many_alarms, confirmed=section.confirmed_only,
    )  # fmt: skip
    ages = pl.Enum(band_labels(section.age_edges))
    rows = rows.with_columns(age_band=band("age", section.age_edges).cast(ages))
    others = [n for n in ("age_band", "sex") if rows[n].n_unique() > 1]
    return alarm_effect(rows, others, cluster="policy_id", level=section.level, basis=basis)


def _link(prepared: Prepared, basis: Basis) -> ClaimLink:
    link = prepared.link
    table = link.reasons.with_columns(pl.col("set_aside_reason").cast(pl.String))
    history = link.history
    facts = {
        "lines": link.lines.height,
        "claims": link.claims.height,
        "aside": link.aside.height,
        "updated": history.filter(pl.col("versions") > 1).height,
        "cancelled": history.filter(pl.col("claim_status") == "withdrawn").height,
        "refused": int(prepared.refused["count"].sum()),
    }
    notes = ("the last version of each claim counts; a withdrawn claim is none",)
    return ClaimLink(
        table=table,
        basis=replace(
            basis,
            rows=link.lines.height,
            claims=float(link.claims.height),
            notes=(*basis.notes, *notes),
        ),
        facts=facts,
        frames={
            "messages_aside": link.aside.with_columns(pl.col("set_aside_reason").cast(pl.String)),
            "history": history,
            "reasons": prepared.refused,
        },
    )
