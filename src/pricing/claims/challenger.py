"""Challengers: gradient boosting on cells, judged out of fold, kept as a table of rates.

No tree is kept: what is saved is the rate of every combination of levels, which any reader can
check, and what the trees say of cells they have not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from threadpoolctl import threadpool_limits

from pricing.claims.boosting import (
    MOST_LEVELS,
    Growth,
    Rates,
    grow,
    judge,
    losses,
    saturated,
    worth,
)
from pricing.claims.partial_dependence import dependence_by_level
from pricing.claims.penalised import deal
from pricing.claims.score import level_text, require_known
from pricing.claims.severity import claims_with_amounts
from pricing.errors import InputError, nearest
from pricing.estimate.constraints import Direction
from pricing.estimate.design import Floats
from pricing.estimate.families import Gamma, Poisson, QuasiPoisson
from pricing.estimate.family import Family
from pricing.estimate.response import RESPONSES, Sums
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["Challenger", "Target", "fit_challenger"]

Target = Literal["frequency", "severity", "pure_premium"]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
FAMILIES: Mapping[str, Family] = {
    "frequency": Poisson(),
    "severity": Gamma(),
    "pure_premium": QuasiPoisson(),
}
COMBINATIONS = 250_000  # up to here every combination of levels has a rate, else those that occur
OF_CELLS = "deviance of an amount per policy-year is that between cells: rows are not carried"
BALANCED = "rates are rebased by one factor, so that fitted equals observed in total"


class Challenger(Result):
    """A boosted model of claims, as a table of rates by combination of levels.

    ``.table`` has one row per factor: term, levels, gain (what the deviance rises by out of
    fold when the factor's level is drawn by chance, in shares of the null deviance), lower, upper. ``.frames``:
    ``folds`` (fold, exposure, claims, trees, deviance and d_squared out of fold), ``path`` (trees,
    deviance out of fold), ``rates`` (levels and rate), ``dependence`` (see
    :mod:`pricing.claims.partial_dependence`), ``out_of_fold`` (fold and rate of every cell).
    """

    kind = "challenger"

    @property
    def keys(self) -> tuple[str, ...]:
        """The factors that scoring reads."""
        return tuple(self.details["levels"])

    def rate(self) -> pl.Expr:
        """Claims per policy-year, amount per claim or per policy-year, as an expression.

        A combination the table does not hold gives null; :meth:`score` counts and names such rows.

        Examples
        --------
        >>> rows = pl.DataFrame({"sex": ["f", "m"] * 4, "tier": list("abcd") * 2, "exposure": 100.0, "claims": 9})
        >>> found = fit_challenger(Experience.collect(rows, ["sex", "tier"]), folds=2)
        >>> rows.select(found.rate().round(6)).to_series().unique().to_list()
        [0.09]
        """
        levels, rates = self.details["levels"], self.frames["rates"]
        at = _place(levels)
        return at.replace_strict(
            rates.select(at).to_series(),
            rates["rate"],
            default=None,
            return_dtype=pl.Float64,
        ).alias("rate")

    def score(self, frame: Frame, *, exposure: str | None = None) -> Frame:
        """Add ``rate`` and, where exposure is given, ``expected`` to every row.

        Parameters
        ----------
        frame : polars DataFrame or LazyFrame
            Rows with the challenger's factors.
        exposure : str, optional
            Column of policy-years (of claims, for a severity).

        Raises
        ------
        InputError
            For missing columns, and for rows with an unknown level, a null, an exposure that is not
            above zero, or a combination of levels that has no rate; with counts. No row is dropped.
        """
        lazy = frame.lazy()
        require_known(lazy, self.keys, self.details["levels"], exposure)
        scored = frame.with_columns(self.rate())
        if not self.facts["complete"]:
            without = scored.lazy().filter(pl.col("rate").is_null()).select(self.keys)
            count = without.select(pl.len()).collect().item()
            if count:
                few = without.unique().sort(self.keys).head(3).collect().rows(named=True)
                raise InputError(
                    f"{count:,} rows are combinations of levels that the challenger has not seen",
                    faults=[str(row) for row in few],
                    do="fit with fewer keys or wider bands, so that every combination has a rate",
                )
        if exposure is None:
            return scored
        return scored.with_columns(expected=pl.col("rate") * pl.col(exposure).cast(pl.Float64))

    def finding(self, lang: Language = "en") -> str:
        """Say what is explained out of fold, and by which factor most."""
        said = {**self.facts, "strongest": label(self.facts["strongest"], lang)}
        return say("finding.challenger", lang, **said)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what every factor is worth out of fold."""
        t = self.table
        return interval_figure(
            [label(term, lang) for term in t["term"]],
            t["gain"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="gain",
            factor="term",
            lang=lang,
            reference=0.0,
            percent=True,
        )


def fit_challenger(
    experience: Experience,
    keys: Sequence[str] | None = None,
    *,
    response: Target = "frequency",
    trees: int = 200,
    leaves: int = 6,
    learning_rate: float = 0.1,
    credibility: float = 20.0,
    monotone: Mapping[str, Direction] | None = None,
    unordered: Sequence[str] = (),
    folds: int | str = 5,
    level: float = 0.95,
    seed: int = 1,
) -> Challenger:
    """Boost regression trees on cells, as many as pay out of fold.

    Parameters
    ----------
    experience : Experience
        Cells; with ``amount=`` for a severity or a pure premium.
    keys : sequence of str, optional
        Factors to split by; all the experience's, where left out. Band numbers first.
    response : {"frequency", "severity", "pure_premium"}
        Poisson loss on claims per policy-year, gamma loss on the amount of a paid claim, or Poisson
        loss on the amount per policy-year: the quasi-Poisson choice, which keeps totals and needs
        no power.
    trees : int
        The most that are grown. The number kept has the least held-out deviance; none may be best,
        and then the rate is the overall mean.
    leaves : int
        Leaves of a tree: 2 for main effects alone, more for interactions.
    learning_rate : float
        Share of a leaf's step that is taken.
    credibility : float
        K: a leaf with n expected claims moves by n/(n + K) of its own experience, times the
        learning rate. It stands where the usual least number of rows would, as cells are not rows.
    monotone : mapping of str to {"increasing", "decreasing"}, optional
        Factors along whose levels the rate may not fall, or not rise.
    unordered : sequence of str
        Factors whose levels have no order, split as sets. scikit-learn then asks for a least number
        of cells per level, so such trees are those of the cells, not of the rows.
    folds : int or str
        Number of folds that whole cells are dealt to at random, or a key whose every value is one
        fold, such as a year or :func:`pricing.validation.holdout.person_fold`; a key of folds is
        not split by. An interaction of all the keys at once is only seen where other cells share
        it, so collect with a key of folds where the keys are few.
    level : float
        Confidence level of the gains.
    seed : int
        Of the deal. The same cells and settings give the same bytes.

    Returns
    -------
    Challenger

    Raises
    ------
    InputError
        For keys that are no factors with 2 to 255 levels, settings outside their domain, folds
        that are no fold, and cells without claims.

    Notes
    -----
    Friedman (2001), Greedy function approximation, Annals of Statistics 29; second-order leaves
    as in Chen and Guestrin (2016), −G/(H + K); H is the leaf's expected claims (amounts are taken
    in units of the mean claim), so K is Bühlmann's. The fold k is predicted by trees grown on the
    others, their number chosen by the others' curves: no claim of a fold judges its own trees.
    scikit-learn adds gradients in single precision: cells and rows agree to 1e-7.
    A factor's gain is the expectation, over its distribution by weight, of Breiman's (2001)
    permutation importance, exact and without drawing; its interval is row-exact given the trees.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rows = pl.DataFrame({"a": list("xy") * 400, "b": rng.integers(0, 9, 800).astype(str), "exposure": 1.0,
    ...                      "claims": rng.poisson([0.2, 0.6] * 400)})
    >>> found = fit_challenger(Experience.collect(rows, ["a", "b"]))
    >>> found.facts["strongest"], found.table.height
    ('a', 2)
    """
    _require_settings(response, trees, leaves, learning_rate, credibility, level)
    family, shape = FAMILIES[response], RESPONSES[response]
    seen = claims_with_amounts(experience, None) if response == "severity" else experience
    levels = _levels(seen, keys, folds)
    grown = Growth(
        loss="gamma" if response == "severity" else "poisson",
        leaves=leaves,
        learning_rate=learning_rate,
        credibility=credibility,
        monotone=_directions(levels, monotone or {}, unordered),
        unordered=tuple(name in unordered for name in levels),
        seed=seed,
    )
    sums = shape.read(seen)
    if not sums.total.sum() > 0:
        raise InputError(
            f"there are no {shape.events} in {sums.weight.sum():,.1f} {shape.unit} to learn from"
        )
    claims = seen.values("claims").sum()
    unit = sums.total.sum() / claims if response == "pure_premium" and claims > 0 else 1.0
    x = np.column_stack([_codes(seen, name, known) for name, known in levels.items()])
    held, names = deal(seen, folds, seed)
    with threadpool_limits(1):  # one order of addition: the same bytes whatever the machine does
        judged = judge(x, sums, family, grown, held, names, trees, unit)
        best = judged.trees
        final = Rates.of(grow(x, sums, grown, best, unit), x, sums, unit)
        gains = worth(x, sums, family, judged, held, levels, saturated(family, seen, sums), level)
        dependence = dependence_by_level(x, sums.weight, seen.values("exposure"), final, levels)
        rates, complete = _rates(x, final, levels)
    table = gains.sort("gain", descending=True, maintain_order=True)
    top = saturated(family, seen, sums)
    parts = _parts(seen, sums, family, judged.rate, held, names, judged.stages, top)
    null = float((parts["weight"] * parts["null"]).sum())
    lost = float((parts["weight"] * parts["deviance"]).sum())
    facts = {
        "response": response,
        "trees": best,
        "most": trees,
        "folds": len(names),
        "d_squared": 1 - lost / null if null > 0 else 0.0,
        "deviance": lost / float(sums.weight.sum()),
        "strongest": table["term"][0],
        "gain": table["gain"][0],
        "level": level,
        "complete": complete,
        "rates": rates.height,
        "rebased": final.factor,
    }
    details = {
        "levels": {name: list(known) for name, known in levels.items()},
        "experience": experience.basis.fingerprint,
        "settings": {
            "response": response,
            "trees": trees,
            "leaves": leaves,
            "learning_rate": learning_rate,
            "credibility": credibility,
            "monotone": dict(monotone or {}),
            "unordered": list(unordered),
            "folds": folds,
            "seed": seed,
        },
    }
    notes = [BALANCED, "number of trees chosen out of fold"]
    notes += ["the most trees allowed were the best: allow more"] if best == trees else []
    notes += [OF_CELLS] if response == "pure_premium" else []
    basis = replace(
        experience.basis,
        fingerprint=fingerprint(experience.basis.fingerprint, str(list(levels)), str(details)),
        notes=(*experience.basis.notes, *notes),
    )
    frames = {
        "folds": parts.drop("weight", "null"),
        "path": judged.path,
        "rates": rates,
        "dependence": dependence,
        "out_of_fold": pl.DataFrame({"fold": [names[k] for k in held], "rate": judged.rate}),
    }
    return Challenger(table=table, basis=basis, facts=facts, details=details, frames=frames)


def _rates(
    x: Floats, rates: Rates, levels: Mapping[str, Sequence[str]]
) -> tuple[pl.DataFrame, bool]:
    """The rate of every combination of levels, or of those that occur where they are too many."""
    sizes = [len(known) for known in levels.values()]
    complete = prod(sizes) <= COMBINATIONS
    if complete:
        places = np.indices(sizes).reshape(len(sizes), -1).T.astype(np.float64)
    else:
        places = np.unique(x, axis=0)
    columns = {
        name: pl.Series(
            np.asarray(known, dtype=object)[places[:, j].astype(np.int64)].tolist()
        ).cast(pl.Enum(list(known)))
        for j, (name, known) in enumerate(levels.items())
    }
    return pl.DataFrame({**columns, "rate": rates(places)}), complete


def _parts(
    experience: Experience,
    sums: Sums,
    family: Family,
    rate: Floats,
    held: npt.NDArray[np.int64],
    names: Sequence[str],
    stages: Sequence[int],
    top: Floats,
) -> pl.DataFrame:
    """Deviance and D² of every fold, against the fold's own mean."""
    count = len(names)

    def added(values: Floats) -> Floats:
        return np.asarray(np.bincount(held, weights=values, minlength=count), dtype=np.float64)

    weight = added(sums.weight)
    mean = (added(sums.total) / weight)[held]
    own, null = (2 * added(losses(family, sums, m) + top) for m in (rate, mean))
    return pl.DataFrame(
        {
            "fold": list(names),
            "exposure": added(experience.values("exposure")),
            "claims": added(experience.values("claims")),
            "trees": list(stages),
            "deviance": own / weight,
            "d_squared": np.where(null > 0, 1 - own / np.where(null > 0, null, 1.0), 0.0),
            "weight": weight,
            "null": null / weight,
        }
    )


def _place(levels: Mapping[str, Sequence[str]]) -> pl.Expr:
    """Number the combination of levels of a row; null where a level is not known."""
    at = pl.lit(0, dtype=pl.Int64)
    for name, known in levels.items():
        code = level_text(name, known).replace_strict(
            list(known), list(range(len(known))), default=None, return_dtype=pl.Int64
        )
        at = at * len(known) + code
    return at


def _codes(experience: Experience, name: str, known: Sequence[str]) -> Floats:
    place = {level: code for code, level in enumerate(known)}
    of_code = np.array(
        [place.get(level, -1) for level in experience.levels(name)], dtype=np.float64
    )
    return np.asarray(of_code[experience.cells[name].to_physical().to_numpy()])


def _levels(
    experience: Experience, keys: Sequence[str] | None, folds: int | str
) -> dict[str, list[str]]:
    """The levels with exposure of every factor to split by, in order."""
    wanted = (
        [k for k in experience.keys if k != folds] if keys is None else list(dict.fromkeys(keys))
    )
    faults = [
        f"{name!r} is not a key of the experience{nearest(name, experience.keys)}"
        for name in wanted
        if name not in experience.keys
    ]
    faults += [
        f"{name!r} is a number: band it first, .with_keys({name}_band=band({name!r}, [...]))"
        for name in wanted
        if name in experience.keys and name not in experience.factors
    ]
    faults += [f"{name!r} is the key of the folds" for name in wanted if name == folds]
    faults += ["'rate' is what the challenger adds: rename that key"] if "rate" in wanted else []
    found = {}
    for name in wanted if not faults else ():
        seen = set(experience.cells[name].unique().cast(pl.String))
        found[name] = [level for level in experience.levels(name) if level in seen]
        if not 2 <= len(found[name]) <= MOST_LEVELS:
            faults.append(
                f"{name!r} has {len(found[name]):,} levels with experience: there are 2 to "
                f"{MOST_LEVELS}"
            )
    if not wanted:
        faults.append("there is no factor")
    if faults:
        raise InputError("keys that a challenger cannot split by", faults=faults)
    return found


def _directions(
    levels: Mapping[str, Sequence[str]], monotone: Mapping[str, Direction], unordered: Sequence[str]
) -> tuple[int, ...]:
    signs = {"increasing": 1, "decreasing": -1}
    faults = [
        f"{name!r} is not a factor of the challenger{nearest(name, levels)}"
        for name in dict.fromkeys([*monotone, *unordered])
        if name not in levels
    ]
    faults += [
        f"{name!r}: {way!r} is neither increasing nor decreasing"
        for name, way in monotone.items()
        if way not in signs
    ]
    faults += [
        f"{name!r} has no order to be monotone along" for name in monotone if name in unordered
    ]
    if faults:
        raise InputError("orders that a challenger cannot keep", faults=faults)
    return tuple(signs[monotone[name]] if name in monotone else 0 for name in levels)


def _require_settings(
    response: str, trees: int, leaves: int, learning_rate: float, credibility: float, level: float
) -> None:
    faults = []
    if response not in FAMILIES:
        faults.append(f"response {response!r} is not offered{nearest(response, FAMILIES)}")
    if not 1 <= trees <= 5_000:
        faults.append(f"trees are 1 to 5,000, got {trees}")
    if not 2 <= leaves <= 64:
        faults.append(f"a tree has 2 to 64 leaves, got {leaves}")
    if not 0 < learning_rate <= 1:
        faults.append(f"the learning rate is above 0 and at most 1, got {learning_rate}")
    if not 0 <= credibility < np.inf:
        faults.append(f"the credibility constant is not negative, got {credibility}")
    if not 0 < level < 1:
        faults.append(f"the confidence level lies between 0 and 1, got {level}")
    if faults:
        raise InputError("settings that a challenger cannot have", faults=faults)
