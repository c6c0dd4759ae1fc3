"""Fine–Gray: rows weighted by the chance of still being uncensored, for the subdistribution of a cause.

A life that leaves by another cause at s stays at risk for the cause of interest, with the weight
G(t−)/G(s−) at t, G the Kaplan–Meier curve of censoring (events first where times are equal). On the rows
so made any left-truncated, weighted method serves: Kaplan–Meier gives 1 − F of Aalen–Johansen exactly, Cox
regression the subdistribution hazard ratios. Sources: Fine and Gray (1999), JASA 94; Geskus (2011),
Biometrics 67.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from pricing.errors import InputError, nearest
from pricing.result.shape import Basis
from pricing.survival.cox import Cox, fit_cox
from pricing.survival.follow_up import DIGITS
from pricing.survival.lives import Lives, Unit
from pricing.survival.partial_likelihood import Ties

__all__ = ["fine_gray_rows", "fit_fine_gray"]

OURS = (
    *("entry", "exit", "event", "weight", "row"),
    *("_other", "_cut", "_g", "_before", "_g0"),
)
MOST_PIECES = 50_000_000


def fine_gray_rows(
    frame: pl.DataFrame,
    cause: str,
    *,
    exit: str = "exit",
    event: str = "event",
    weight: str | None = None,
) -> pl.DataFrame:
    """Write lives as weighted rows (entry, exit] of the subdistribution of a cause.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per life, or cells of lives with their number as ``weight``; all observed from 0 on.
    cause : str
        The cause of interest, as :class:`~pricing.survival.lives.Lives` names it.
    exit, event, weight : str
        Columns, as of :meth:`~pricing.survival.lives.Lives.collect`.

    Returns
    -------
    polars.DataFrame
        The other columns, row (number of the row it came from, for errors clustered by life), entry,
        exit, event (yes or no), weight. Lives gone by another cause are split where censoring lowers
        their weight, up to the last exit by the cause.

    Raises
    ------
    InputError
        As :meth:`~pricing.survival.lives.Lives.collect`; for a cause by which nobody leaves, and
        columns with a name of ours.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 3], "event": ["lapse", None, "death"]})
    >>> fine_gray_rows(rows, "death").select("row", "entry", "exit", "event", "weight").rows()
    [(0, 0.0, 2.0, False, 1.0), (0, 2.0, 3.0, False, 0.5), (1, 0.0, 2.0, False, 1.0), (2, 0.0, 3.0, True, 1.0)]
    """
    if not isinstance(cause, str):
        raise InputError(f"the cause is text, got {cause!r}", do=f"write it as '{cause}'")
    seen = Lives.collect(frame, exit=exit, event=event, weight=weight)
    if cause not in seen.causes:
        raise InputError(f"nobody leaves by {cause!r}{nearest(cause, seen.causes)}")
    kept = [n for n in frame.columns if n not in (exit, event, weight)]
    taken = [n for n in kept if n in OURS]
    if taken:
        raise InputError(
            f"columns with a name of ours: {', '.join(taken)}",
            do="rename them; all lives must be observed from 0 on (no late entries)",
        )
    kind = frame.schema[event]
    text = not (kind.is_integer() or kind == pl.Boolean)
    happened = pl.col(event).is_not_null() if text else pl.col(event).cast(pl.Int64) > 0
    plain = seen.causes == ("event",) and not text  # yes or no
    ours = happened if plain else pl.col(event).cast(pl.String) == cause
    rows = frame.with_row_index("row").select(
        *kept,
        row=pl.col("row").cast(pl.Int64),
        entry=pl.lit(0.0),
        exit=pl.col(exit).cast(pl.Float64).round_sig_figs(DIGITS),
        event=ours.fill_null(False),
        weight=pl.col(weight).cast(pl.Float64) if weight else pl.lit(1.0),
        _other=(happened & ~ours).fill_null(False),
    )
    last = float(rows.filter("event")["exit"].max())  # type: ignore[arg-type]
    stay = pl.col("at_risk") - pl.col("events")  # censoring at a time follows its events
    curve = seen.risk().filter(pl.col("censored") > 0)
    curve = curve.select(
        _cut=pl.col("time").round_sig_figs(DIGITS), _g=(1 - pl.col("censored") / stay).cum_prod()
    )
    others = rows.filter("_other").sort("exit").join_asof(
        curve.sort("_cut").rename({"_cut": "_before", "_g": "_g0"}),
        left_on="exit", right_on="_before", allow_exact_matches=False,
    ).with_columns(pl.col("_g0").fill_null(1.0))  # fmt: skip
    cuts = curve.filter(pl.col("_cut") < last)
    pieces_needed = int(_after(others, cuts).sum())
    if pieces_needed > MOST_PIECES:
        raise InputError(
            f"lives gone by another cause would be split into {pieces_needed:,} pieces, "
            f"{MOST_PIECES:,} are the most",
            do="round times up to months, or take fewer lives",
        )
    later = others.join_where(cuts, pl.col("_cut") >= pl.col("exit")).with_columns(
        entry=pl.col("_cut"), weight=pl.col("weight") * pl.col("_g") / pl.col("_g0")
    )
    columns = [*kept, "row", "entry", "exit", "event", "weight"]
    first = others.with_columns(entry=pl.lit(0.0))
    pieces = pl.concat([first.select(columns), later.select(columns)]).sort("row", "entry")
    # each piece reaches to the next, the last to the last exit by the cause
    pieces = pieces.with_columns(
        exit=pl.col("entry")
        .shift(-1)
        .over("row")
        .fill_null(pl.max_horizontal("entry", pl.lit(last)))
    )
    plain_rows = rows.filter(~pl.col("_other")).select(columns)
    done = pl.concat([plain_rows, pieces.filter(pl.col("exit") > pl.col("entry"))])
    return done.sort("row", "entry")


def _after(others: pl.DataFrame, cuts: pl.DataFrame) -> pl.Series:
    """Count the cuts at or after each exit."""
    before = cuts["_cut"].sort().search_sorted(others["exit"], side="left")
    return pl.Series(cuts.height - before.cast(pl.Int64))


def fit_fine_gray(
    frame: pl.DataFrame,
    formula: str,
    cause: str,
    *,
    exit: str = "exit",
    event: str = "event",
    ties: Ties = "efron",
    base: Mapping[str, str] | None = None,
    unit: Unit = "year",
    level: float = 0.95,
    basis: Basis | None = None,
) -> Cox:
    """Fit subdistribution hazard ratios: how covariates move the share that ends up leaving by a cause.

    A Cox model on :func:`fine_gray_rows`, with errors robust by life (Fine
    and Gray 1999; as R's ``finegray`` with ``coxph``: the censoring curve is taken as known).

    Parameters
    ----------
    frame : polars.DataFrame
        One row per life, all observed from 0 on.
    formula, exit, event, ties, base, unit, level, basis
        As of :func:`pricing.survival.cox.fit_cox`.
    cause : str
        The cause of interest.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4, 5, 6, 7, 8], "sex": ["m", "m", "f", "m", "f", "f", "m", "f"],
    ...                      "event": ["lapse", "lapse", "death", "death", "lapse", None, "lapse", "death"]})
    >>> found = fit_fine_gray(rows, "sex", "lapse", base={"sex": "f"})
    >>> found.table.select("level", pl.col("hazard_ratio").round(3)).rows()
    [('f', 1.0), ('m', 3.91)]
    """
    if not isinstance(frame, pl.DataFrame):
        raise InputError(
            f"the frame is a {type(frame).__name__}",
            do="give a polars DataFrame: collect() it first",
        )
    rows = fine_gray_rows(frame, cause, exit=exit, event=event)
    found = fit_cox(
        rows, formula, entry="entry", weight="weight", cluster="row", errors="robust", ties=ties,
        base=base, unit=unit, level=level, basis=basis,
    )  # fmt: skip
    note = f"subdistribution hazard of {cause} (Fine and Gray), censoring curve taken as known"
    lives = replace(found.basis, rows=frame.height, notes=(*found.basis.notes, note))
    return replace(found, basis=lives)
