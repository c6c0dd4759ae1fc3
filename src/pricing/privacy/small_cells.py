"""Small cells: nothing leaves that counts fewer persons than the least, nor what would give them back.

Every face (page, tables, workbook, run.json, lab) shows what :func:`suppressed` gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from pricing.errors import InputError
from pricing.privacy.counted import (
    AS_ASKED,
    CHARGED,
    CURVES,
    IDENTIFIERS,
    KEY,
    NOT_PERSONS,
    UNITS,
    events_of,
    identifiers_in,
    keys_of,
    unit_of,
)
from pricing.privacy.margins import Counted, Ident, Place, counted_in, hidden_among, row_keys
from pricing.privacy.withheld_levels import withheld_details
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, say

__all__ = ["hidden_rows", "suppressed"]

MARK = "cell_hidden"
BESIDE = "withheld"  # hidden so that a small cell cannot be worked out
RECORDS = {"benefit_experience": ("amounts",)}  # a row per claim, whatever its columns are called
OF_PRICES = (
    "offers",
    "policies",
    "at_risk",
    "moves",
)  # frames of renewals and premiums: no claims in them
FOLLOWED = ("claims", "uses")  # what is estimated of a level is estimated of these
OF_ITS_TABLE = (
    "outcome",
    "side",
    "cause",
    "step",
    "quantity",
    "role",
    "table",
)  # no factors of the study
TABLE = ""  # the name of a result's table among its frames


def suppressed(results: Mapping[str, Result], minimum: int = 10) -> dict[str, Result]:
    """Hide small cells and the rows of single persons in results that leave the house.

    Parameters
    ----------
    results : mapping of str to Result
        Of one study: cells that several tables show are hidden in all of them.
    minimum : int
        The fewest persons a cell may show; where persons are not counted, the least policy-years, and
        of claims the fewest claims. 0 shows everything.

    Returns
    -------
    dict of str to Result
        A result that hides nothing is the very same object. In the others a hidden cell's figures are
        null and ``cell_hidden`` says ``<10``, or ``withheld`` where the cell is large enough and hidden
        because a total would give a small one back. What everybody is charged (discounts, prices) stays;
        a relativity goes with its claims, for times the exposure it is their number. Frames of single persons, policies or claims are empty; a price trace stays, for it names
        a policy because somebody asked for that policy. The basis notes say how many cells are hidden.

    Raises
    ------
    InputError
        For a minimum that is no whole number of 0 or more.

    Notes
    -----
    Empty cells are shown. Figures draw the rows that are shown; a finding that names a hidden figure
    is replaced by a sentence that says so.

    Examples
    --------
    >>> table = pl.DataFrame({"tier": ["a", "b", "c"], "exposure": [4.0, 30.0, 90.0], "claims": [1, 20, 40]})
    >>> suppressed({"one_way": Result(table=table)})["one_way"].table.rows()
    [('a', None, None, '<10'), ('b', None, None, 'withheld'), ('c', 90.0, 40, None)]
    """
    if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 0:
        raise InputError(
            f"the minimum cell is {minimum!r}, not a whole number of 0 or more",
            where="study.minimum_cell",
            do="write minimum_cell = 10, or 0 to show every cell",
        )
    if not minimum:
        return dict(results)
    held = {name: r for name, r in results.items() if r.kind not in AS_ASKED}
    frames = {(n, key): frame for n, r in held.items() for key, frame in _frames(r)}
    single = {p for p, frame in frames.items() if _of_single(held[p[0]].kind, p[1], frame)}
    cells = {
        p: f for p, f in frames.items() if p not in single and held[p[0]].kind not in NOT_PERSONS
    }
    persons = [c for p, f in cells.items() if (c := counted_in(p, f, unit_of(f))) is not None]
    hidden, told = hidden_among(persons, minimum)
    rows = {c.place: [i in hidden for i in c.idents] for c in persons}
    small = {c.place: [i in told for i in c.idents] for c in persons}
    happened = [
        c for p, f in cells.items() for n in events_of(f) if (c := counted_in(p, f, n)) is not None
    ]
    gone = {
        ident
        for c in happened
        for ident, out in zip(c.idents, rows.get(c.place, ()), strict=False)
        if ident and out
    }
    few, few_told = hidden_among(happened, minimum, gone)
    events = _any(happened, few)
    events_small = _any(happened, few_told)
    follows = _following(cells, hidden, few)
    found = dict(results)
    for name, result in held.items():
        changed: dict[str, pl.DataFrame] = {}
        drawn: dict[str, pl.DataFrame] = {}
        lost: set[float] = set()
        count = 0
        for key, frame in _frames(result):
            place = (name, key)
            if place in single:
                own = [n for n in identifiers_in(frame) if n == "first_keys"]
                if own:
                    if frame["first_keys"].null_count() < frame.height:
                        changed[key] = frame.with_columns(
                            pl.lit(None, pl.String).alias("first_keys")
                        )
                elif frame.height:
                    changed[key] = frame.clear()
                continue
            out = _flags(rows, place, frame)
            if place in cells and _gives_a_cause_back(frame, minimum):
                out = ~pl.Series([False] * frame.height, dtype=pl.Boolean)
            beside = _flags(events, place, frame) | _flags(follows, place, frame)
            beside = (beside | _of_one_origin(frame, minimum)) & ~out
            if not (out | beside).any():
                continue
            few_here = _flags(small, place, frame) | _flags(events_small, place, frame)
            kept = {*CHARGED, CURVES.get(result.kind, MARK)}
            changed[key], values = _blanked(frame, out, beside, few_here, minimum, kept)
            drawn[key] = frame.filter(~(out | beside))
            lost |= values
            count += int((out | beside).sum())
        named = _without_names(result.facts) != dict(result.facts)
        if changed or named or _without_names(result.details) != dict(result.details):
            found[name] = _hidden_result(result, changed, drawn, lost, count, minimum)
    return found


def hidden_rows(results: Mapping[str, Result]) -> int:
    """Count the rows that are hidden in results.

    Examples
    --------
    >>> table = pl.DataFrame({"tier": ["a", "b", "c"], "exposure": [4.0, 30.0, 90.0]})
    >>> hidden_rows(suppressed({"x": Result(table=table)}))
    2
    """
    marks = [f[MARK] for r in results.values() for _, f in _frames(r) if MARK in f.columns]
    return sum(mark.len() - mark.null_count() for mark in marks)


def _frames(result: Result) -> Iterator[tuple[str, pl.DataFrame]]:
    yield TABLE, result.table
    yield from result.frames.items()


def _of_single(kind: str, key: str, frame: pl.DataFrame) -> bool:
    return bool(identifiers_in(frame)) or key in RECORDS.get(kind, ())


def _following(
    frames: Mapping[Place, pl.DataFrame], hidden: set[Ident], few: set[Ident]
) -> dict[Place, list[bool]]:
    """Of each frame that does not count, the rows whose level is hidden where it is counted.

    What is estimated for a level (its error, its loss ratio, its amount) gives back the count it rests on.
    """
    persons, events = (
        _levels_hidden(those) for those in (hidden, {i for i in few if i[0] in FOLLOWED})
    )
    found: dict[Place, list[bool]] = {}
    for place, frame in frames.items():
        gone = set[frozenset[tuple[str, str]]]()
        if not unit_of(frame):
            gone |= persons
        if not events_of(frame) and unit_of(frame) not in OF_PRICES:
            gone |= events
        if gone:
            single = {pair for one in gone if len(one) == 1 for pair in one}
            several = [one for one in gone if len(one) > 1]
            found[place] = [
                not single.isdisjoint(own) or any(one <= own for one in several)
                for own in map(frozenset, row_keys(frame, [*keys_of(frame)]))
            ]
    return found


def _of_one_origin(frame: pl.DataFrame, minimum: int) -> pl.Series:
    """Moves out of a small group: what is estimated of those nobody made holds how many made the others."""
    if unit_of(frame) != "moves" or "from_group" not in frame.columns:
        return ~pl.Series([True] * frame.height, dtype=pl.Boolean)
    made = pl.col("moves").sum().over("from_group")
    return frame.select((made > 0) & (made < minimum)).to_series()


def _levels_hidden(idents: set[Ident]) -> set[frozenset[tuple[str, str]]]:
    """The levels of factors that hidden cells are of: named alike in every table of a study."""
    return {
        i[1]
        for i in idents
        if i[1] and not any(n in OF_ITS_TABLE or KEY.search(n) for n, _ in i[1])
    }


def _gives_a_cause_back(frame: pl.DataFrame, minimum: int) -> bool:
    """Whether rows by time and cause add up to a cause with few events: one survival holds all causes."""
    if not {"cause", "events"} <= set(frame.columns):
        return False
    total = frame.group_by("cause").agg(pl.col("events").sum())["events"]
    return bool(((total > 0) & (total < minimum)).any())


def _any(counted: list[Counted], those: set[Ident]) -> dict[Place, list[bool]]:
    """Of each frame, the rows in which some column counts one of those cells."""
    found: dict[Place, list[bool]] = {}
    for c in counted:
        before = found.get(c.place, [False] * len(c.idents))
        found[c.place] = [a or i in those for a, i in zip(before, c.idents, strict=True)]
    return found


def _flags(of: Mapping[Place, list[bool]], place: Place, frame: pl.DataFrame) -> pl.Series:
    return pl.Series(of.get(place, [False] * frame.height), dtype=pl.Boolean)


def _blanked(
    frame: pl.DataFrame,
    out: pl.Series,
    beside: pl.Series,
    few: pl.Series,
    minimum: int,
    charged: set[str],
) -> tuple[pl.DataFrame, set[float]]:
    """The frame without the figures of hidden cells, and those figures."""
    kept = {*keys_of(frame), *charged} - {unit_of(frame), *events_of(frame)}
    figures = [n for n, kind in frame.schema.items() if kind.is_numeric() and n not in kept]
    masks = {n: (out if n in (*UNITS, "rows") else out | beside) for n in figures}
    shown = {n: set(frame[n].filter(~masks[n]).cast(pl.Float64)) for n in figures}
    lost = {
        float(v)
        for n in figures
        for v in frame[n].filter(masks[n]).cast(pl.Float64).drop_nulls()
        if v and v != 1 and v not in shown[n]
    }
    sign = pl.when(few).then(pl.lit(f"<{minimum}")).otherwise(pl.lit(BESIDE))
    told = pl.when(out | beside).then(sign).alias(MARK)
    blank = [pl.when(~masks[n]).then(pl.col(n)).alias(n) for n in figures]
    return frame.with_columns(*blank, told), lost


def _hidden_result(
    result: Result,
    changed: Mapping[str, pl.DataFrame],
    drawn: Mapping[str, pl.DataFrame],
    lost: set[float],
    count: int,
    minimum: int,
) -> Result:
    """The result as it may leave, drawn from the rows that are shown."""
    told = _without_names(result.facts)
    facts = {n: _scrubbed(v, n, lost) for n, v in told.items()}
    withheld = facts != told
    details = withheld_details(_without_names(result.details), _levels_out(changed))
    notes = list(result.basis.notes)
    if count:
        notes.append(_both("cells_hidden", number=count, minimum=minimum))
    records = [changed[k].is_empty() for k in changed if k not in drawn]
    if any(records):
        notes.append(_both("records_withheld", number=sum(records)))
    own = {n: changed.get(n, f) for n, f in result.frames.items()}
    seen = {n: drawn.get(n, f) for n, f in result.frames.items()}
    table = drawn.get(TABLE, result.table)
    source = replace(result, table=table, frames=seen, facts=told, details=details)
    basis = result.basis
    return replace(
        result,
        table=changed.get(TABLE, result.table),
        frames=own,
        facts=facts,
        details=details,
        basis=replace(
            basis,
            exposure=basis.exposure if basis.exposure >= minimum else 0.0,
            claims=basis.claims if basis.claims >= minimum else 0.0,
            notes=tuple(notes),
        ),
        drawn_from=source,
        minimum=minimum,
        told=not withheld,
    )


def _levels_out(changed: Mapping[str, pl.DataFrame]) -> set[tuple[str, str]]:
    """The terms and levels of a model whose rows are hidden."""
    return {
        (str(term), str(level))
        for frame in changed.values()
        if {"term", "level", MARK} <= set(frame.columns)
        for term, level, mark in frame.select("term", "level", MARK).iter_rows()
        if mark is not None
    }


def _without_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Facts without the name of a person, policy or claim, however deep they stand."""
    return {
        n: None
        if n in IDENTIFIERS and isinstance(v, str)
        else _without_names(v)
        if isinstance(v, Mapping)
        else v
        for n, v in values.items()
    }


def _scrubbed(value: Any, name: str, lost: set[float]) -> Any:
    """A fact without hidden figures, however deep they stand."""
    if isinstance(value, Mapping):
        return {n: _scrubbed(v, n, lost) for n, v in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(v, name, lost) for v in value]
    return None if _gives_away(value, name, lost) else value


def _gives_away(value: Any, name: str, lost: set[float]) -> bool:
    """Whether a fact is a hidden figure: a count by its name, any other figure by its digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    counts = name in UNITS or name.removeprefix("lowest_").removeprefix("highest_") in UNITS
    if float(value).is_integer() and not counts and abs(value) < 1_000:
        return False
    return any(abs(value - w) <= 1e-9 * abs(v) for v in lost for w in (v, 1 - v, -v))


def _both(key: str, **facts: Any) -> str:
    return " / ".join(say(f"sentence.{key}", lang, **facts) for lang in LANGUAGES)
