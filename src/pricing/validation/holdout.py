"""Out of sample: fit on one part of the cells, judge on the other; by year, by region, by person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.experience.expected import EXPECTED
from pricing.experience.ratio import By
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.validation.murphy import CELLS, mean_deviance
from pricing.validation.prediction import Floats, predict

__all__ = ["OutOfSample", "Rated", "hold_out", "out_of_sample", "person_fold"]

Value = str | int | float


class Rated(Protocol):
    """A fitted model: anything that gives a rate per policy-year as an expression."""

    def rate(self) -> pl.Expr:
        """Give expected claims or currency per policy-year."""
        ...


class OutOfSample(Result):
    """A way of fitting, judged on parts of the book it did not see."""

    kind = "out_of_sample"

    def finding(self, lang: Language = "en") -> str:
        """Say how close the total came, and how much deviance is explained out of sample."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        return say("finding.out_of_sample", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw actual over expected of every part held out, with its interval."""
        t = self.table
        return interval_figure(
            [level_label(fold, lang) for fold in t["fold"]],
            t["actual_to_expected"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="actual_to_expected",
            factor=self.facts["factor"],
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=1.0,
        )


def hold_out(
    experience: Experience, key: str, test: Sequence[Value]
) -> tuple[Experience, Experience]:
    """Part the cells by a key, such as the last year or two regions.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``key``.
    key : str
        Factor or covariate.
    test : sequence of str or number
        Its values that are held out.

    Returns
    -------
    tuple of Experience
        To fit on, and to judge on. They add up to what was given.

    Raises
    ------
    InputError
        For a key or values that are not there, and where either part would be empty.

    Examples
    --------
    >>> rows = pl.DataFrame({"year": [2023, 2024], "exposure": [1.0, 2.0], "claims": [0, 1]})
    >>> train, test = hold_out(Experience.collect(rows, ["year"]), "year", [2024])
    >>> train.basis.exposure, test.basis.exposure
    (1.0, 2.0)
    """
    require_columns([key], experience.keys)
    values = _values(experience, key)
    wanted = list(dict.fromkeys([test] if isinstance(test, str) else test))
    absent = [v for v in wanted if v not in values]
    if absent or not wanted:
        raise InputError(
            f"{key!r} has no {', '.join(map(repr, absent)) or 'value to hold out'}"
            f"{nearest(str(absent[0]) if absent else '', map(str, values))}"
        )
    if len(wanted) == len(values):
        raise InputError(
            f"all {len(values)} values of {key!r} are held out, so nothing is left to fit on"
        )
    said = ", ".join(map(str, wanted))
    inside = pl.col(key).is_in(wanted)
    return (
        experience.where(~inside, note=f"{key} not {said}"),
        experience.where(inside, note=f"{key} is {said}"),
    )


def out_of_sample(
    experience: Experience,
    fit: Callable[[Experience], Rated],
    key: str,
    *,
    folds: int | None = None,
    rolling: bool = False,
    test: Sequence[Value] | None = None,
    by: By = "claims",
    level: float = 0.95,
    seed: int = 0,
) -> OutOfSample:
    """Fit on the rest and judge on what is held out, part after part.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``key``.
    fit : callable
        Takes an experience, gives a model with ``.rate()``; it must not use ``key``.
    key : str
        What parts are cut by: a year (temporal), a region, a fold of persons (:func:`person_fold`).
        All cells of one value stay together.
    folds : int, optional
        Deal the values into so many parts at random; each value its own part where left out.
    rolling : bool
        Judge each value on a fit of the values before it only, in their order: what the model would
        have said at the time. The first value is never judged.
    test : sequence of str or number, optional
        Hold out these values once, instead of every part in turn.
    by : {"claims", "amount"}
        What the model predicts.
    level : float
        Confidence level.
    seed : int
        Of the dealing.

    Returns
    -------
    OutOfSample
        ``.table``, one row per part: fold, exposure, claims, expected (by amount: amount,
        expected_amount), actual_to_expected with lower, upper (robust), deviance (mean Poisson
        deviance per policy-year), d_squared = 1 − deviance/(deviance of the part's own mean), and
        d_squared_train of the fit on its own cells. ``.facts``: the same over all parts.

    Raises
    ------
    InputError
        For a key, values or folds that cannot serve, and as ``fit`` and
        :func:`pricing.validation.prediction.predict` do: a level the fit never saw among them.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame({"year": [1] * 4 + [2] * 4, "sex": ["f", "m"] * 4,
    ...                      "exposure": [10.0] * 8, "claims": [0, 2, 1, 1, 1, 2, 1, 2]})
    >>> seen = Experience.collect(rows, ["year", "sex"])
    >>> found = out_of_sample(seen, lambda part: fit_frequency(part, "sex"), "year")
    >>> found.table.select("fold", "claims", pl.col("expected").round(6)).rows()
    [('1', 4.0, 6.0), ('2', 6.0, 4.0)]
    """
    if sum((folds is not None, rolling, test is not None)) > 1:
        raise InputError("folds, rolling and test exclude each other: give one of them")
    require_columns([key], experience.keys)
    scores = []
    for name, train, held in _parts(experience, key, folds, rolling, test, seed):
        model = fit(train)
        scores.append((name, _score(train, model, by, level), _score(held, model, by, level)))
    amount = ["amount"] if by == "amount" else []
    columns = ["fold", "exposure", "claims", *amount, EXPECTED[by], "actual_to_expected",
               "lower", "upper", "deviance", "d_squared", "d_squared_train"]  # fmt: skip
    table = pl.DataFrame(
        [{"fold": n, **out, "d_squared_train": own["d_squared"]} for n, own, out in scores]
    ).select(columns)
    weight = table["exposure"] / table["exposure"].sum()
    deviance = float((table["deviance"] * weight).sum())
    flat = float(sum(w * out["flat"] for w, (_, _, out) in zip(weight, scores, strict=True)))
    outside = table.filter((pl.col("lower") > 1) | (pl.col("upper") < 1)).height
    facts = {
        "by": by,
        "factor": key,
        "level": level,
        "folds": table.height,
        "rolling": rolling,
        "seed": seed,
        "ratio": float(table["claims" if by == "claims" else "amount"].sum())
        / float(table[EXPECTED[by]].sum()),
        "outside": outside,
        "deviance": deviance,
        "d_squared": 1 - deviance / flat if flat > 0 else 0.0,
        "d_squared_train": float((table["d_squared_train"] * weight).sum()),
    }
    notes = [f"held out by {key}", *([CELLS] if by == "amount" else [])]
    basis = predict(experience, pl.lit(1.0), by=by).basis(*notes)
    return OutOfSample(table=table, basis=basis, facts=facts)


def person_fold(person: str, folds: int, *, seed: int = 0) -> pl.Expr:
    """Give every person a fold by hash, to collect an experience by: all years of one stay together.

    Cross-validation over rows of the same people is too kind to a model. Collect with the fold as a
    key, then ``out_of_sample(seen, fit, "fold")``. A shard of the data that comes later puts a
    person into the same fold, as long as the version of polars is the same.

    Parameters
    ----------
    person : str
        Column that names the person, family or firm.
    folds : int
        Two or more.
    seed : int
        Another seed, another dealing.

    Returns
    -------
    polars.Expr
        Text "1" to "folds", null where the person is, named ``fold``.

    Raises
    ------
    InputError
        For fewer than two folds.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [7, 7, 8, 9]})
    >>> dealt = rows.with_columns(person_fold("id", 3))["fold"].to_list()
    >>> dealt[0] == dealt[1], set(dealt) <= {"1", "2", "3"}
    (True, True)
    """
    if folds < 2:
        raise InputError(f"two folds or more are needed, got {folds}")
    fold = (pl.col(person).hash(seed) % folds + 1).cast(pl.String)
    return pl.when(pl.col(person).is_not_null()).then(fold).alias("fold")


def _values(experience: Experience, key: str) -> list[Any]:
    """Values of a key with exposure, in their order."""
    return experience.cells[key].unique().sort().to_list()


def _parts(
    experience: Experience,
    key: str,
    folds: int | None,
    rolling: bool,
    test: Sequence[Value] | None,
    seed: int,
) -> list[tuple[str, Experience, Experience]]:
    """Name, cells to fit on and cells to judge on, of every part."""
    values = _values(experience, key)
    if test is not None:
        chosen = [test] if isinstance(test, str) else list(test)
        return [(", ".join(map(str, chosen)), *hold_out(experience, key, chosen))]
    if len(values) < 2:
        raise InputError(f"{key!r} has one value only, {values[0]!r}: nothing to hold out by")
    if rolling:
        return [
            (
                str(value),
                experience.where(pl.col(key).is_in(values[:i]), note=f"{key} before {value}"),
                hold_out(experience, key, [value])[1],
            )
            for i, value in enumerate(values)
            if i
        ]
    if folds is None:
        return [(str(value), *hold_out(experience, key, [value])) for value in values]
    if not 2 <= folds <= len(values):
        raise InputError(f"{len(values)} values of {key!r} cannot be dealt into {folds} folds")
    dealt = np.random.default_rng(seed).permutation(len(values)) % folds
    return [
        (
            str(fold + 1),
            *hold_out(experience, key, [values[i] for i in np.flatnonzero(dealt == fold)]),
        )
        for fold in range(folds)
    ]


def _score(part: Experience, model: Rated, by: By, level: float) -> dict[str, Any]:
    seen = predict(part, model.rate(), by=by)
    codes = np.zeros(len(seen.rate), dtype=np.int64)
    one = seen.banded(codes, ["1"], scale=seen.rate, level=level).row(0, named=True)
    deviance = mean_deviance(seen, seen.rate)
    mean: Floats = np.full_like(seen.rate, seen.mean)
    flat = mean_deviance(seen, mean)
    return {
        "exposure": float(seen.exposure.sum()),
        "claims": one["claims"],
        "amount": one["_actual"],
        EXPECTED[by]: one["_base"],
        "actual_to_expected": one["_ratio"],
        "lower": one["lower"],
        "upper": one["upper"],
        "deviance": deviance,
        "flat": flat,
        "d_squared": 1 - deviance / flat if flat > 0 else 0.0,
    }
