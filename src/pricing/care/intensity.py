"""Intensities that can be used: tables held against their rules, printed matrices made into rates."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray
from scipy.linalg import logm
from scipy.optimize import least_squares

from pricing.data.rates import SEXES
from pricing.data.tables import source_of
from pricing.data.transitions import disability_matrices
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.multistate.exponential import series
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["MatrixGaps", "checked_intensities", "grade_rates", "matrix_gaps"]

Floats = NDArray[np.float64]
Method = Literal["fit", "clip"]
GRADES = ("1", "2", "3", "dead")
OFF = ~np.eye(4, dtype=bool)
OFF[3] = False
PLACES = np.argwhere(OFF)
ROUNDED = 0.0021  # four printed chances of three digits miss 1 by at most .002


def checked_intensities(
    table: pl.DataFrame, *, measure: Literal["rate", "probability"] = "rate", name: str = ""
) -> pl.DataFrame:
    """Hold a table of rates or chances of moving between states against its rules, before any use.

    Parameters
    ----------
    table : polars.DataFrame
        ``age`` (whole years), ``from_state``, ``to_state`` and ``rate`` (per year) or ``probability``
        (of the year); ``sex`` and ``duration`` (whole years) where it has them.
    measure : {"rate", "probability"}
        Which of the two.
    name : str
        What to call the table in a message.

    Returns
    -------
    polars.DataFrame
        The same rows, sorted.

    Raises
    ------
    InputError
        All faults at once, each with the number of rows and the first three: values that are empty,
        not finite or below 0, chances above 1, chances of one state that together exceed 1 (or, with
        the chance to stay among them, miss 1 by more than the rounding of a print), moves given twice,
        and ages that lack between others or for one move only.

    Examples
    --------
    >>> table = pl.DataFrame({"age": [60, 61], "from_state": ["disabled"] * 2, "to_state": ["dead"] * 2,
    ...                       "probability": [0.3, 1.2]})
    >>> checked_intensities(table, measure="probability", name="a table")
    Traceback (most recent call last):
    pricing.errors.InputError: a table: intensities that cannot be used; nothing was computed
      - a probability above 1 in 1 of 2 rows: 61, disabled, dead, 1.2
      do: correct the table at its source; do not clip it
    """
    needed = ("age", "from_state", "to_state", measure)
    lacking = [c for c in needed if c not in table.columns]
    if lacking:
        raise InputError(f"columns {', '.join(lacking)} are missing", where=name)
    if table.is_empty():
        raise InputError("the table has no rows", where=name)
    wrong = [
        c
        for c in ("age", "duration", measure)
        if c in table.columns and not table.schema[c].is_numeric()
    ]
    if wrong:
        raise InputError(f"{', '.join(wrong)} must be numbers", where=name)
    over: list[str] = [c for c in ("sex", "duration") if c in table.columns]
    value, move = pl.col(measure).cast(pl.Float64), [*over, "from_state", "to_state"]
    whole = pl.col("age").cast(pl.Float64)
    bad = {
        "an age that is empty or not whole": (whole != whole.round()).fill_null(True),
        f"a {measure} that is empty or not finite": ~value.is_finite().fill_null(False),
        f"a {measure} below 0": value < 0,
        "a move and age given twice": pl.struct(*move, "age").is_duplicated(),
    }
    if measure == "probability":
        bad["a probability above 1"] = value.is_finite() & (value > 1 + 1e-12)
    shown = [*over, "age", "from_state", "to_state", measure]
    faults = [
        _said(what, found.select(shown), table.height)
        for what, wrong_rows in bad.items()
        if not (found := table.filter(wrong_rows.fill_null(False))).is_empty()
    ]
    if not faults or all("above 1" in fault or "below 0" in fault for fault in faults):
        faults += _gaps(table, move)
        if measure == "probability":
            faults += _sums(table, over)
    if faults:
        raise InputError(
            "intensities that cannot be used; nothing was computed",
            where=name,
            faults=faults,
            do="correct the table at its source; do not clip it",
        )
    return table.sort(*over, "age", "from_state", "to_state")


def _said(what: str, rows: pl.DataFrame, height: int, kind: str = "rows") -> str:
    first = "; ".join(
        ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in row)
        for row in rows.head(3).rows()
    )
    return f"{what} in {rows.height:,} of {height:,} {kind}: {first}"


def _gaps(table: pl.DataFrame, move: list[str]) -> list[str]:
    first, last = int(table["age"].min()), int(table["age"].max())  # type: ignore[arg-type]
    ages = pl.DataFrame({"age": np.arange(first, last + 1)})
    wanted = table.select(move).unique(maintain_order=True).join(ages, how="cross")
    lacking = wanted.with_columns(pl.col("age").cast(table.schema["age"])).join(
        table, on=[*move, "age"], how="anti", maintain_order="left"
    )
    if lacking.is_empty():
        return []
    return [_said("no value", lacking, wanted.height, "moves and ages")]


def _sums(table: pl.DataFrame, over: list[str]) -> list[str]:
    by = [*over, "age", "from_state"]
    stays = pl.col("from_state").cast(pl.String) == pl.col("to_state").cast(pl.String)
    sums = table.group_by(by, maintain_order=True).agg(
        total=pl.col("probability").sum(), closed=stays.any(), top=pl.col("probability").max()
    )
    sums = sums.filter(pl.col("top") <= 1).drop("top")  # named already
    high = sums.filter(~pl.col("closed") & (pl.col("total") > 1 + 1e-9)).drop("closed")
    apart = sums.filter(pl.col("closed") & ((pl.col("total") - 1).abs() > ROUNDED)).drop("closed")
    return [
        _said(what, rows, sums.height, "states and ages")
        for what, rows in (
            ("chances of leaving that add to more than 1", high),
            ("chances that do not add to 1", apart),
        )
        if not rows.is_empty()
    ]


class MatrixGaps(Result):
    """What printed matrices lose when made into intensities.

    ``.table``: sex, age_band, cube_gap (largest difference between the one-year matrix to the power of
    3 and the three-year matrix), least_rate (smallest intensity in the matrix's logarithm; below 0 no
    intensities give that matrix), clip_gap and fit_gap (largest difference in a chance after it was
    made a matrix that intensities do give).
    """

    kind = "matrix_gaps"

    def finding(self, lang: Language = "en") -> str:
        """Say how many matrices no intensities give, and how far the nearest are."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the gaps by age band and sex."""
        figure = go.Figure(layout={"template": "pricing"})
        x = [f"{level_label(s, lang)} {b}" for s, b in self.table.select("sex", "age_band").rows()]
        for name, colour in (("cube_gap", "bars"), ("clip_gap", "second"), ("fit_gap", "estimate")):
            figure.add_bar(
                x=x, y=self.table[name].to_list(), name=label(name, lang),
                marker={"color": COLOURS[colour]},
            )  # fmt: skip
        return figure.update_layout(
            barmode="group",
            xaxis={"title": {"text": label("age_band", lang)}, "type": "category"},
            yaxis={"title": {"text": label("matrix_gap", lang)}},
        )


def matrix_gaps(horizon: Literal[1, 3] = 1) -> MatrixGaps:
    """Report what the matrices of Cui et al. (2022) lose when made into intensities.

    Parameters
    ----------
    horizon : {1, 3}
        Which of the printed matrices, by years.

    Returns
    -------
    MatrixGaps
        One row per sex and age band.

    Notes
    -----
    A matrix P over h years comes from intensities Q only if log(P)/h has no negative entry off its
    diagonal (Kingman 1962; Israel, Rosenthal and Wei 2001, Mathematical Finance 11(2)). ``clip``: negative
    entries to 0, the diagonal rebalanced. ``fit``: the rates, all above 0, whose exp(Qh) is closest to P
    in least squares.

    Examples
    --------
    >>> found = matrix_gaps(3)
    >>> found.facts["matrices"], found.facts["not_embeddable"], found.facts["cube_over"]
    (14, 12, 5)
    """
    printed, rates_clip, rates_fit = (
        _blocks(horizon),
        _rates(horizon, "clip"),
        _rates(horizon, "fit"),
    )
    one, three = _printed(1), _printed(3)
    rows: list[dict[str, Any]] = []
    for key, p in printed.items():
        log = np.asarray(logm(p)).real / horizon
        clip, fit = (series(r[key][None] * horizon)[0][0] for r in (rates_clip, rates_fit))
        rows.append({
            "sex": key[0], "age_band": key[1],
            "cube_gap": float(np.abs(np.linalg.matrix_power(one[key], 3) - three[key]).max()),
            "least_rate": float(log[OFF].min()),
            "clip_gap": float(np.abs(clip - p).max()), "fit_gap": float(np.abs(fit - p).max()),
        })  # fmt: skip
    table = pl.DataFrame(rows).cast({"sex": SEXES}).sort("sex", "age_band")
    facts = {
        "horizon": horizon, "matrices": table.height,
        "not_embeddable": table.filter(pl.col("least_rate") < -1e-9).height,
        "cube_over": table.filter(pl.col("cube_gap") > 0.01).height,
        "clip_gap": float(table["clip_gap"].max()), "fit_gap": float(table["fit_gap"].max()),  # type: ignore[arg-type]
        "cube_gap": float(table["cube_gap"].max()),  # type: ignore[arg-type]
    }  # fmt: skip
    basis = Basis(
        source=source_of("clhls_disability"),
        rows=table.height,
        fingerprint=fingerprint("matrix_gaps", repr(table.rows())),
        notes=("rows of a print that miss 1 by its rounding were brought to 1, but for cube_gap",),
    )
    return MatrixGaps(table=table, basis=basis, facts=facts)


def grade_rates(horizon: Literal[1, 3] = 1, *, method: Method = "fit") -> pl.DataFrame:
    """Give intensities between three grades of severity, China, made from the printed matrices.

    Parameters
    ----------
    horizon : {1, 3}
        Which matrices.
    method : {"fit", "clip"}
        As in :func:`matrix_gaps`, which says what is lost.

    Returns
    -------
    polars.DataFrame
        ``sex``, ``age`` (65 to 110; the last band, 95 and over, is level), ``from_state``, ``to_state``
        ("1" to "3" by severity, "dead") and ``rate`` per year.

    Examples
    --------
    >>> rates = grade_rates().filter(age=65, sex="male", from_state="2")
    >>> [to for to in rates["to_state"]]
    ['1', '3', 'dead']
    """
    if method not in ("fit", "clip"):
        raise InputError(f"method must be fit or clip, not {method!r}")
    rates = _rates(horizon, method)
    rows = [
        (sex, age, GRADES[i], GRADES[j], float(q[i, j]))
        for (sex, band), q in rates.items()
        for age in range(int(band[:2]), 111 if band.endswith("+") else int(band[:2]) + 5)
        for i, j in PLACES.tolist()
    ]
    names = ["sex", "age", "from_state", "to_state", "rate"]
    return (
        pl.DataFrame(rows, schema=names, orient="row")
        .cast({"sex": SEXES})
        .sort("sex", "age", maintain_order=True)
    )


@cache
def _blocks(horizon: Literal[1, 3]) -> dict[tuple[str, str], Floats]:
    """Printed matrices, rows that miss 1 by their rounding brought to it."""
    return {key: p / p.sum(axis=1, keepdims=True) for key, p in _printed(horizon).items()}


@cache
def _printed(horizon: Literal[1, 3]) -> dict[tuple[str, str], Floats]:
    """Matrices as printed, with the row of the dead."""
    found: dict[tuple[str, str], Floats] = {}
    for row in disability_matrices(horizon).iter_rows(named=True):
        block = found.setdefault((row["sex"], row["age_band"]), np.diag([0.0, 0.0, 0.0, 1.0]))
        block[int(row["from_state"]) - 1, int(row["to_state"]) - 1] = row["probability"]
    return found


@cache
def _rates(horizon: Literal[1, 3], method: Method) -> dict[tuple[str, str], Floats]:
    return {key: _intensities(p, horizon, method) for key, p in _blocks(horizon).items()}


def _intensities(p: Floats, horizon: int, method: Method) -> Floats:
    clipped = np.where(OFF, np.maximum(np.asarray(logm(p)).real / horizon, 0.0), 0.0)
    if method == "clip":
        return _closed(clipped)
    start = np.log(np.maximum(clipped[OFF], 1e-4))

    def q(logs: Floats) -> Floats:
        rates = np.zeros((4, 4))
        rates[OFF] = np.exp(logs)
        return _closed(rates)

    def miss(logs: Floats) -> Floats:
        return np.asarray((series(q(logs)[None] * horizon)[0][0] - p)[:3].ravel())

    def slope(logs: Floats) -> Floats:
        ways = np.zeros((len(logs), 4, 4))
        n, rate = np.arange(len(logs)), np.exp(logs) * horizon
        ways[n, PLACES[:, 0], PLACES[:, 1]] = rate
        ways[n, PLACES[:, 0], PLACES[:, 0]] = -rate
        return np.asarray(
            series(q(logs)[None] * horizon, ways[None])[1][0][:, :3].reshape(len(logs), -1).T
        )

    found = least_squares(
        miss, start, jac=slope, bounds=(np.log(1e-9), np.log(20.0)), xtol=1e-12, ftol=1e-12
    )
    return q(found.x)


def _closed(rates: Floats) -> Floats:
    closed = rates.copy()
    np.fill_diagonal(closed, 0.0)
    np.fill_diagonal(closed, -closed.sum(axis=1))
    return closed
