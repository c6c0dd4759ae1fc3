"""The tariff: base premium, relativities, caps and loadings, as one expression with a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import plotly.graph_objects as go
import polars as pl

from pricing.claims.score import require_known
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.tariff.factor import Factor, Pairs, above_zero, factor_of
from pricing.tariff.terms import Loading, Terms

__all__ = ["Tariff", "assemble", "round_premium", "tariff_from"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
RUNNING = "_running"
Stage = tuple[str, Callable[[pl.Expr], pl.Expr], str]
NUDGE = 1e-7  # of the last place: 1.005 is 1.00499999999999989 to a computer and 1.01 on a bill


class Tariff(Result):
    """A rating table: base premium × relativities, within caps, with loadings.

    ``.table``: term, level, charged_as (its group), relativity, role (``base``).
    A tariff prices per policy-year; it is multiplied out in this order, and so is the trace:

    base premium × relativity of each factor × relativity cap, then each loading (× or +), then
    × premium cap, rounded half up to ``decimals`` places (a value within 1e-7 of the half counts
    as half, so that 1.005 becomes 1.01).

    A cap is the factor that brings what is before it to the limit; one where it lies within.
    """

    kind = "tariff"

    @property
    def base_premium(self) -> float:
        """Currency per policy-year, before every relativity."""
        return float(self.details["base_premium"])

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The factor tables, in the order they are multiplied."""
        return tuple(_read_factor(said) for said in self.details["factors"])

    @property
    def terms(self) -> Terms:
        """Currency, date, rounding, limits and loadings."""
        said: dict[str, Any] = dict(self.details["terms"])
        said["loadings"] = tuple(Loading(**one) for one in said["loadings"])
        for name in ("relativity_limits", "premium_limits"):
            said[name] = tuple(said[name])
        return Terms(**said)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns a row needs."""
        return tuple(dict.fromkeys(v for factor in self.factors for v in factor.variables))

    def factor(self, term: str) -> Factor:
        """Give one factor table.

        Raises
        ------
        InputError
            For a term the tariff does not have.
        """
        found = {factor.term: factor for factor in self.factors}
        if term not in found:
            raise InputError(f"{term!r} is not in the tariff{nearest(term, found)}")
        return found[term]

    def relativities(self, factor: str) -> pl.DataFrame:
        """Give the rows of one factor or term."""
        self.factor(factor)
        return self.table.filter(pl.col("term") == factor)

    def having(self, **terms: Any) -> Self:
        """Give the same rates with other terms, such as ``decimals=0`` or ``loadings=(...)``.

        Raises
        ------
        InputError
            For a term that does not exist or cannot be.
        """
        unknown = [n for n in terms if n not in Terms.__dataclass_fields__]
        if unknown:
            raise InputError(
                "a tariff has no such term",
                faults=[f"{n!r}{nearest(n, Terms.__dataclass_fields__)}" for n in unknown],
            )
        changed = replace(self.terms, **terms)
        made = assemble(self.base_premium, self.factors, changed, self.basis)
        return replace(
            self, **{n: getattr(made, n) for n in ("table", "basis", "facts", "details")}
        )

    def premium(
        self,
        schema: pl.Schema | None = None,
        *,
        unknown: Literal["error", "base"] = "error",
        rounded: bool = True,
    ) -> pl.Expr:
        """Write the premium per policy-year as an expression for any frame, eager or lazy.

        A level that is not known gives null (:meth:`price` refuses and counts such rows), or with
        ``unknown="base"`` the relativity of the base level. It is bit for bit the premium that
        :meth:`price` traces.

        Parameters
        ----------
        schema : polars.Schema, optional
            Types of the frame; factors of type Enum are then looked up by their codes.
        unknown : {"error", "base"}
            What an unknown level gets.
        rounded : bool
            False for the premium before rounding.
        """
        terms, running = self.terms, pl.lit(self.base_premium)
        for factor in self.factors:
            running = running * factor.expression(schema, unknown=unknown == "base")
        for _, value, kind in self._stages():
            running = _joined(running, value(running), kind)
        return round_premium(running, terms.decimals if rounded else None).alias("premium")

    def require_known(
        self, frame: pl.LazyFrame, *, unknown: Literal["error", "base"] = "error"
    ) -> None:
        """Refuse a frame with rows the tariff does not price, as :meth:`price` does.

        Raises
        ------
        InputError
            For missing columns, unknown levels and nulls, with counts.
        """
        levels: dict[str, list[str]] = {}
        for factor in self.factors:
            for name, known in zip(factor.variables, factor.levels, strict=True):
                levels[name] = [x for x in levels.get(name, known) if x in known]
        require_known(frame, self.keys, levels, None, unseen=unknown == "base")

    def price(
        self,
        frame: Frame,
        *,
        trace: bool = False,
        unknown: Literal["error", "base"] = "error",
    ) -> Frame:
        """Add the premium per policy-year to every row, with ``trace`` how it came about.

        Parameters
        ----------
        frame : polars DataFrame or LazyFrame
            Rows with the tariff's columns.
        trace : bool
            Add base_premium, relativity:FACTOR for each factor, relativity_cap, loading:NAME for
            each loading and premium_cap; multiplied in this order and rounded as the class says
            they give the premium of every row exactly.
        unknown : {"error", "base"}
            What a level that is not in the tariff gets: a refusal, or the base level's relativity.

        Raises
        ------
        InputError
            For missing columns, unknown levels and nulls, with counts; a null is never priced.

        Examples
        --------
        >>> rates = tariff_from(1000.0, {"sex": {"f": 1.0, "m": 1.25}}, relativity_limits=(None, 1.2))
        >>> rates.price(pl.DataFrame({"sex": ["m"]}), trace=True).row(0, named=True)
        {'sex': 'm', 'base_premium': 1000.0, 'relativity:sex': 1.25, 'relativity_cap': 0.96, 'premium_cap': 1.0, 'premium': 1200.0}
        """
        if unknown not in ("error", "base"):
            raise InputError(f"unknown={unknown!r} is not offered: error or base")
        lazy = frame.lazy()
        self.require_known(lazy, unknown=unknown)
        schema = lazy.collect_schema()
        relativities = [f.expression(schema, unknown=unknown == "base") for f in self.factors]
        first: dict[str, pl.Expr] = {"base_premium": pl.lit(self.base_premium)}
        first |= {
            f"relativity:{f.term}": r for f, r in zip(self.factors, relativities, strict=True)
        }
        stages: list[Stage] = self._stages()
        names = [*first, *(name for name, _, _ in stages), RUNNING]
        taken = [n for n in names if (trace or n == RUNNING) and n in schema]
        if taken:
            raise InputError(f"the frame has columns of the trace already: {', '.join(taken)}")
        running = reduce(lambda a, b: a * b, relativities, pl.lit(self.base_premium))
        if trace:
            frame = frame.with_columns(**first)
            running = reduce(lambda a, b: a * b, [pl.col(name) for name in first])
        # in stages, so that no lookup is computed twice
        frame = frame.with_columns(running.alias(RUNNING))
        for name, value, kind in stages:
            step = value(pl.col(RUNNING))
            shown = {name: step} if trace else {}
            frame = frame.with_columns(_joined(pl.col(RUNNING), step, kind).alias(RUNNING), **shown)
        premium = round_premium(pl.col(RUNNING), self.terms.decimals)
        return frame.with_columns(premium=premium).drop(RUNNING)

    def _stages(self) -> list[Stage]:
        """What follows the relativities: its name in the trace, its value, and how it is joined."""
        terms = self.terms
        scaled = [None if v is None else v * self.base_premium for v in terms.relativity_limits]
        stages: list[Stage] = []
        if any(v is not None for v in scaled):
            stages.append(
                ("relativity_cap", partial(_cap, least=scaled[0], most=scaled[1]), "times")
            )
        for one in terms.loadings:
            value = pl.lit(float(one.value))
            stages.append((f"loading:{one.name}", partial(_given, value=value), one.kind))
        least, most = terms.premium_limits
        stages.append(("premium_cap", partial(_cap, least=least, most=most), "times"))
        return stages

    def finding(self, lang: Language = "en") -> str:
        """Say what the tariff charges and what moves the premium most."""
        facts = dict(self.facts) | {"factor": label(self.facts["widest"], lang)}
        for name in ("lowest", "highest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.tariff" if facts["widest"] else "sentence.tariff_flat", lang, **facts)

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the relativities of one factor (default: the one that spreads most)."""
        term = factor or self.facts["widest"]
        rows = self.relativities(term)
        return interval_figure(
            rows["level"].to_list(),
            rows["relativity"].to_list(),
            [None] * rows.height,
            [None] * rows.height,
            name="relativity",
            factor=term,
            lang=lang,
            reference=1.0,
        )

    def write_json(self, path: str | Path) -> None:
        """Write the tariff as one file a person can read: :func:`pricing.tariff.written.write_tariff`."""
        from pricing.tariff.written import write_tariff

        write_tariff(self, path)

    def grouped(self, groups: Mapping[str, Mapping[str, str]]) -> Self:
        """Name the group that levels are charged in, by term and level; no premium changes.

        Raises
        ------
        InputError
            For a level that is not there, and for a group whose relativities differ.
        """
        made = [
            replace(f, groups=tuple(groups[f.term].get(n, n) for n in f.names))
            if groups.get(f.term)
            else f
            for f in self.factors
        ]
        faults = [
            f"{f.term}: {n!r} is given a group and is no level{nearest(n, f.names)}"
            for f in made
            for n in groups.get(f.term, {})
            if n not in f.names
        ]
        for f in made:
            kinds = Counter(name for name, _ in set(zip(f.groups, f.relativities, strict=False)))
            faults += [
                f"{f.term}: the levels of group {name!r} have {n} different relativities"
                for name, n in kinds.items()
                if n > 1
            ]
        if faults:
            raise InputError("groups that cannot be", faults=faults)
        found = assemble(self.base_premium, made, self.terms, self.basis)
        return replace(
            self, **{n: getattr(found, n) for n in ("table", "basis", "facts", "details")}
        )

    def to_excel(self, path: str | Path, *, audit: pl.DataFrame | None = None) -> None:
        """Write the tariff as a workbook: :func:`pricing.tariff.workbook.write_workbook`."""
        from pricing.tariff.workbook import write_workbook

        write_workbook(self, path, audit=audit)


def tariff_from(
    base_premium: float,
    factors: Mapping[str, Pairs],
    *,
    base: Mapping[str, str] | None = None,
    basis: Basis | None = None,
    **terms: Any,
) -> Tariff:
    """Make a tariff by hand.

    Parameters
    ----------
    base_premium : float
        Currency per policy-year at relativity one, above zero.
    factors : mapping of str to mapping or pairs
        Relativity by level; an interaction is named ``"sex:tier"`` and has pairs of levels.
    base : mapping of str to str, optional
        Base level by factor; else the first with the relativity one.
    basis : Basis, optional
        Where it comes from.
    **terms
        The attributes of :class:`Terms`: currency, valid_from, decimals, relativity_limits,
        premium_limits, loadings.

    Raises
    ------
    InputError
        With every fault at once: levels twice, relativities that are no numbers above zero, pairs
        that are missing, a base that is no level, terms that cannot be.

    Examples
    --------
    >>> rates = tariff_from(500.0, {"sex": {"f": 1.0, "m": 1.1}}, valid_from="2026-01-01")
    >>> pl.DataFrame({"sex": ["f", "m", "x"]}).select(rates.premium())["premium"].to_list()
    [500.0, 550.0, None]
    """
    faults: list[str] = []
    bases = dict(base or {})
    faults += [
        f"base: {name!r} is not a factor{nearest(name, factors)}"
        for name in bases
        if name not in factors
    ]
    made = []
    for term, pairs in factors.items():
        try:
            made.append(factor_of(term, pairs, bases.get(term)))
        except InputError as error:
            faults += error.faults or [error.problem]
    unknown = [n for n in terms if n not in Terms.__dataclass_fields__]
    faults += [f"no term {n!r}{nearest(n, Terms.__dataclass_fields__)}" for n in unknown]
    said = Terms(**{n: v for n, v in terms.items() if n not in unknown})
    if not above_zero(base_premium):
        faults.append(f"base premium is {base_premium!r}, not a number above zero")
    faults += said.faults()
    if faults:
        raise InputError("a tariff that cannot be used", faults=faults)
    own = {factor.term: factor.base[0] for factor in made if len(factor.variables) == 1}
    placed = [
        factor if factor.term in bases else replace(factor, base=_same_base(factor, own))
        for factor in made
    ]
    return assemble(float(base_premium), placed, said, basis or Basis())


def assemble(base_premium: float, factors: Sequence[Factor], terms: Terms, basis: Basis) -> Tariff:
    """Hold checked factor tables as a tariff.

    Examples
    --------
    >>> assemble(10.0, [factor_of("sex", {"f": 1.0})], Terms(), Basis()).table.height
    1
    """
    faults = terms.faults()
    if faults:
        raise InputError("a tariff that cannot be used", faults=faults)
    names = [f.term for f in factors]
    if len(set(names)) < len(names):
        raise InputError(f"a factor stands twice: {', '.join(names)}")
    said = [_said_factor(f) for f in factors]
    held = asdict(terms) | {
        "relativity_limits": list(terms.relativity_limits),
        "premium_limits": list(terms.premium_limits),
        "loadings": [asdict(one) for one in terms.loadings],
    }
    details = {"base_premium": base_premium, "terms": held, "factors": said}
    facts: dict[str, Any] = {
        "base_premium": base_premium,
        "currency": terms.currency,
        "valid_from": terms.valid_from,
        "factors": len(factors),
        "widest": "",
        "lowest": "",
        "highest": "",
        "low": 1.0,
        "high": 1.0,
    }
    if factors:
        widest = max(factors, key=lambda f: max(f.relativities) / min(f.relativities))
        r = widest.relativities
        facts |= {"widest": widest.term, "low": min(r), "high": max(r)}
        facts |= {"lowest": widest.names[r.index(min(r))], "highest": widest.names[r.index(max(r))]}
    return Tariff(
        table=_table(factors),
        basis=replace(basis, currency=terms.currency, fingerprint=fingerprint(repr(details))),
        facts=facts,
        details=details,
    )


def round_premium(premium: pl.Expr, decimals: int | None) -> pl.Expr:
    """Round half up to so many places.

    Examples
    --------
    >>> pl.DataFrame({"p": [1.005, 2.5, 0.1 + 0.2]}).select(round_premium(pl.col("p"), 2))["p"].to_list()
    [1.01, 2.5, 0.3]
    """
    if decimals is None:
        return premium
    per = 10.0**decimals
    return (premium * per + (0.5 + NUDGE)).floor() / per


def _cap(value: pl.Expr, *, least: float | None, most: float | None) -> pl.Expr:
    """The factor that brings a value within limits; exactly one where it is."""
    if least is None and most is None:
        return pl.lit(1.0)
    return value.clip(least, most) / value


def _given(running: pl.Expr, *, value: pl.Expr) -> pl.Expr:
    return value


def _joined(running: pl.Expr, value: pl.Expr, kind: str) -> pl.Expr:
    return running * value if kind == "times" else running + value


def _same_base(factor: Factor, own: Mapping[str, str]) -> tuple[str, ...]:
    """The base of an interaction is that of its factors, where they have tables of their own."""
    pairs = zip(factor.variables, factor.levels, factor.base, strict=True)
    return tuple(own[v] if own.get(v) in known else at for v, known, at in pairs)


def _table(factors: Sequence[Factor]) -> pl.DataFrame:
    schema = {
        "term": pl.String,
        "level": pl.String,
        "charged_as": pl.String,
        "relativity": pl.Float64,
        "role": pl.String,
    }
    parts = [
        pl.DataFrame(
            {
                "term": [f.term] * len(f.relativities),
                "level": f.names,
                "charged_as": list(f.groups) or f.names,
                "relativity": list(f.relativities),
            }
        ).with_columns(role=pl.when(pl.col("level") == f.at_base).then(pl.lit("base")))
        for f in factors
    ]
    return pl.concat([pl.DataFrame(schema=schema), *parts], how="vertical_relaxed")


def _said_factor(factor: Factor) -> dict[str, Any]:
    return {
        "variables": list(factor.variables),
        "levels": [list(names) for names in factor.levels],
        "relativities": list(factor.relativities),
        "base": list(factor.base),
        "groups": list(factor.groups),
    }


def _read_factor(said: Mapping[str, Any]) -> Factor:
    return Factor(
        tuple(said["variables"]),
        tuple(tuple(names) for names in said["levels"]),
        tuple(said["relativities"]),
        tuple(said["base"]),
        tuple(said["groups"]),
    )
