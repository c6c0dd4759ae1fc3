"""Contest: a rating model and its challenger on the same cells, and where claims side with which.

Two questions, each by the score test of a direction z that the model may lack (Rao 1948). With r
the model's score residuals on all cells,

    T = Σ z̃r,   Var T = Σ z̃² Var r,   z̃ = z less its projection on the model's columns,

in the metric of the model's information: the projection makes up for the coefficients, which were
fitted to the same claims. Var r is that of the rows, from the cells' second moments, and never
below the family's.

* Is the challenger on to something? z = the log of its rate out of fold, less what the model's
  columns can say of it, tested in each fold on its own; one-sided, for only claims that lean its way
  count. The folds' trees share claims, so their tests are not independent: twice the median of
  their p-values is a p-value whatever they share (Meinshausen, Meier and Bühlmann 2009).
* Where? z = 1 in a segment: is the model off there beyond chance (two-sided, so that the answer
  does not lean on what the challenger learnt from the same claims), and does the challenger save
  deviance there on claims it had not seen. A level that the model has a coefficient for cannot be
  off, and is not tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
import scipy.sparse as sps
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from pricing.claims.boosting import losses, saturated
from pricing.claims.challenger import FAMILIES, Challenger
from pricing.claims.rating import RatingModel
from pricing.claims.severity import claims_with_amounts
from pricing.errors import InputError
from pricing.estimate.design import Design, Floats, design
from pricing.estimate.families import read_family
from pricing.estimate.family import Family
from pricing.estimate.glm import GlmFit, fit_glm
from pricing.estimate.response import RESPONSES, Sums
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.series import lying
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Contest", "benjamini_hochberg", "contest"]

Codes = npt.NDArray[np.int64]
SPANNED = 1e-8  # a direction with this share of itself left is one the model has already
BOTH = "expected by model is of the fit on all cells, by challenger out of fold"
ADJUSTED = "p-values of segments are two-sided, adjusted over all segments by Benjamini and Hochberg (1995)"
SHOWN = 12


class Contest(Result):
    """Deviance of a model and a challenger out of fold, and the segments where the latter is right.

    ``.table``, one row per fold: fold, exposure, claims, deviance_model, deviance_challenger (mean
    per policy-year, or per claim), d_squared_model, d_squared_challenger, p_value (one-sided, that
    claims of the fold do not lean the challenger's way); ``.facts["p_value"]`` is that of all. ``.frames["segments"]``,
    one row per level of one factor or two, the strongest first: term, level, exposure, claims,
    actual, expected_model, expected_challenger, actual_to_model, lower, upper,
    actual_to_challenger, gain (the deviance the challenger saves out of fold), z, p_value,
    p_adjusted, better.
    """

    kind = "contest"

    @property
    def segments(self) -> pl.DataFrame:
        """Every segment that was tested, the strongest first."""
        return self.frames["segments"]

    def better(self) -> pl.DataFrame:
        """Give the segments where claims side with the challenger beyond chance."""
        return self.segments.filter("better")

    def finding(self, lang: Language = "en") -> str:
        """Say who explains more out of fold, and in which cells the challenger is right."""
        said = say("finding.contest", lang, **self.facts)
        if not self.facts["better"]:
            return said + say("sentence.contest_nowhere", lang, **self.facts)
        first = self.segments.row(0, named=True)
        return said + say(
            "sentence.contest_where",
            lang,
            **{**self.facts, **first, "better": self.facts["better"]},
            segment=_segment(first["term"], first["level"], lang),
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw actual over expected by the model and by the challenger, strongest segments first."""
        t = self.segments.head(SHOWN)
        places = [_segment(a, b, lang) for a, b in t.select("term", "level").iter_rows()]
        figure = interval_figure(
            places,
            t["actual_to_model"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="actual_to_model",
            factor="segment",
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=1.0,
        )
        figure.update_layout(yaxis={"title": {"text": label("actual_to_expected", lang)}})
        values = t["actual_to_challenger"].to_list()
        with_points(figure, places, values, name="actual_to_challenger", lang=lang)
        return lying(figure)


def contest(
    experience: Experience,
    challenger: Challenger,
    model: RatingModel,
    *,
    least: float = 30.0,
    false_discovery: float = 0.05,
    level: float = 0.95,
) -> Contest:
    """Hold a model and a challenger against the same claims, and say in which cells who is right.

    Parameters
    ----------
    experience : Experience
        The cells both were fitted on.
    challenger : Challenger
        Its folds are the folds of the contest.
    model : RatingModel
        Frequency, severity (of paid claims) or pure premium, without penalty, constraint that
        binds, weight or offset. It is fitted again without each fold.
    least : float
        Claims that a segment must have to be tested.
    false_discovery : float
        Share of the segments named better that may be so by chance.
    level : float
        Confidence level of actual over expected by the model.

    Returns
    -------
    Contest
        Its segments are the levels of every factor and of every pair of factors.

    Raises
    ------
    InputError
        For an experience, response or model that the two do not share, options outside their
        domain, and folds on which the model cannot be fitted.

    Notes
    -----
    Deviances are Poisson (frequency, pure premium) or gamma (severity) whatever the model's family.
    The claims' own deviance decides between the two: a segment is better where its adjusted p-value is at most ``false_discovery`` and the challenger
    saves deviance there. Segments overlap, so one interaction is seen from several sides: the first
    is where it is plainest. Benjamini and Hochberg (1995), JRSS B 57; under positive dependence,
    Benjamini and Yekutieli (2001).

    Examples
    --------
    >>> from pricing.claims.challenger import fit_challenger
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame([(a, b, str(f), 1000.0, 400 if a + b == "xt" else 200)
    ...                      for a in "xyz" for b in "tuv" for f in range(4)], orient="row",
    ...                     schema=["a", "b", "fold", "exposure", "claims"])
    >>> seen = Experience.collect(rows, ["a", "b", "fold"])
    >>> found = contest(seen, fit_challenger(seen, folds="fold"), fit_frequency(seen, "a + b"))
    >>> found.better().select("term", "level").row(0)
    ('a:b', 'x × t')
    """
    if not (least >= 1 and 0 < false_discovery < 1 and 0 < level < 1):
        raise InputError(
            f"least={least}, false_discovery={false_discovery} with level={level} is not offered",
            do="least is 1 or more, the others lie between 0 and 1",
        )
    seen = _require_same(experience, challenger, model)
    response = RESPONSES[challenger.facts["response"]]
    out = challenger.frames["out_of_fold"]
    boosted = out["rate"].to_numpy()
    names = challenger.frames["folds"]["fold"].to_list()
    held = out["fold"].replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    with threadpool_limits(1):
        x = design(model.details["formula"], seen, base=model.details["base"])
        family = read_family(model.details)
        fit = fit_glm(x, seen, family, response)
        unseen = _out_of_fold(x, seen, family, fit, held, names)
        loss = FAMILIES[challenger.facts["response"]]
        top = saturated(loss, seen, fit.sums)
        own, other = (2 * (losses(loss, fit.sums, rate) + top) for rate in (unseen, boosted))
        table = _table(seen, fit.sums, loss, held, names, own, other, top)
        score = _Score(x, fit, seen)
        segments = _segments(seen, challenger, score, boosted, own - other, least, level)
        lean = score.beyond(np.log(boosted), held, len(names))
        by_fold = np.nan_to_num(ndtr(-score.test(lean, held, len(names))), nan=1.0)
    adjusted = benjamini_hochberg(segments["p_value"].to_numpy())
    segments = segments.with_columns(p_adjusted=pl.Series(adjusted, dtype=pl.Float64)).with_columns(
        better=(pl.col("p_adjusted") <= false_discovery) & (pl.col("gain") > 0)
    )
    segments = segments.sort(
        pl.col("better"), pl.col("z").abs(), descending=True, maintain_order=True
    )
    mean = table["weight"] / table["weight"].sum()
    null = float((mean * table["null"]).sum())
    d_model, d_boosted = (
        1 - float((mean * table[c]).sum()) / null for c in ("deviance_model", "deviance_challenger")
    )
    better = segments.filter("better")
    facts = {
        "response": response.name,
        "d_squared_model": d_model,
        "d_squared_challenger": d_boosted,
        "folds": len(names),
        "folds_won": int((table["deviance_challenger"] < table["deviance_model"]).sum()),
        "p_value": float(min(1.0, 2 * np.median(by_fold))),
        "tested": segments.height,
        "better": better.height,
        "least": least,
        "false_discovery": false_discovery,
        "level": level,
        "formula": model.details["formula"],
    }
    told = (
        challenger.basis.fingerprint,
        model.basis.fingerprint,
        str((least, false_discovery, level)),
    )
    basis = replace(
        challenger.basis,
        fingerprint=fingerprint(*told),
        notes=(*challenger.basis.notes, BOTH, ADJUSTED),
    )
    return Contest(
        table=table.drop("weight", "null").with_columns(p_value=pl.Series(by_fold)),
        basis=basis,
        facts=facts,
        frames={"segments": segments},
    )


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjust p-values for how many there are, so that a share of false discoveries is kept.

    min over j ≥ i of m·p₍ⱼ₎/j, at most one (Benjamini and Hochberg 1995, step-up).

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(12).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p, kind="stable")
    stepped = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return found


class _Score:
    """Score tests of directions that a fitted model may lack, many segments at once."""

    def __init__(self, x: Design, fit: GlmFit, experience: Experience) -> None:
        self.fit = fit
        s, mean, family = fit.sums, fit.rate, fit.family
        variance = family.variance(mean, s.unit)
        ratio = family.slope(mean) / variance
        squares = s.total_squared - 2 * mean * s.total_weight + mean**2 * s.weight_squared
        around = s.squared_per_weight - 2 * mean * s.total + mean**2 * s.weight
        rows = float(experience.values(fit.response.rows).sum())
        free = rows - float((~fit.aliased).sum())
        phi = float((around / variance).sum()) / free if family.scaled else 1.0
        self.matrix = _sparse(x.keep(~fit.aliased))
        self.weight = family.expected(mean, s)
        self.residual = ratio * (s.total - s.weight * mean)
        # the rows' own spread, and the family's: the larger of the two is used
        self.spreads = (ratio**2 * np.maximum(squares, 0), phi * self.weight)
        self.inverse = np.linalg.inv(_gram(self.matrix, self.weight))
        self.score = self.matrix.T @ self.residual
        self.meats = [_gram(self.matrix, v) for v in self.spreads]

    def beyond(self, values: Floats, held: Codes, folds: int) -> Floats:
        """Take off what the model's columns can say, fold by fold.

        Main effects learnt without a fold lean against that fold's chance, so they would speak
        against the challenger; what is left of it is what no model of these columns says.
        """
        found = values.copy()
        for k in range(folds):
            at = np.flatnonzero(held == k)
            root = np.sqrt(self.weight[at])
            part = self.matrix[at].toarray()
            fitted = np.linalg.lstsq(part * root[:, None], values[at] * root, rcond=1e-10)[0]
            found[at] = values[at] - part @ fitted
        return np.where(np.abs(found) > 1e-9, found, 0.0)

    def test(self, direction: Floats, group: Codes, count: int) -> Floats:
        """Give z of ``direction`` within each group; NaN where the model has it already."""
        cells = len(direction)
        z = sps.csr_matrix((direction, (np.arange(cells), group)), shape=(cells, count))
        along = self.inverse @ (self.matrix.T @ z.multiply(self.weight[:, None]).tocsr()).toarray()
        own = np.bincount(group, weights=direction * self.residual, minlength=count)
        total = own - along.T @ self.score
        found = np.zeros(count)
        for spread, meat in zip(self.spreads, self.meats, strict=True):
            first = np.bincount(group, weights=direction**2 * spread, minlength=count)
            cross = (self.matrix.T @ z.multiply(spread[:, None]).tocsr()).toarray()
            left = first - 2 * (along * cross).sum(axis=0) + (along * (meat @ along)).sum(axis=0)
            found = np.maximum(found, np.where(left > SPANNED * first, left, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(found > 0, total / np.sqrt(found), np.nan)


def _sparse(matrix: Any) -> Any:
    """The design as one sparse matrix, columns in their order."""
    blocks = []
    for block in matrix.matrices:
        inner = block.tocsr() if hasattr(block, "tocsr") else block.toarray()
        blocks.append(sps.csc_matrix(inner))
    order = np.argsort(np.concatenate([np.asarray(i) for i in matrix.indices]), kind="stable")
    return sps.hstack(blocks, format="csc")[:, order].tocsr()


def _gram(matrix: Any, weight: Floats) -> Floats:
    return np.asarray((matrix.T @ matrix.multiply(weight[:, None]).tocsr()).toarray())


def _out_of_fold(
    x: Design,
    experience: Experience,
    family: Family,
    fit: GlmFit,
    held: Codes,
    names: Sequence[str],
) -> Floats:
    """Rate of every cell by the model fitted without its fold."""
    rate = np.zeros(len(held))
    for k, name in enumerate(names):
        inside = np.flatnonzero(held != k)
        part = replace(experience, cells=experience.cells[inside])
        try:
            own = fit_glm(replace(x, matrix=x.matrix[inside]), part, family, fit.response)
        except InputError as error:
            raise InputError(
                f"the model cannot be fitted without fold {name}: {error.problem}",
                faults=error.faults,
                do="take fewer folds, or group the levels",
            ) from error
        at = np.flatnonzero(held == k)
        lost = own.aliased & ~fit.aliased
        rate[at] = family.mean(np.asarray(x.matrix[at].matvec(np.nan_to_num(own.coefficients))))
        if lost.any():
            missing = [c.name for c, gone in zip(x.columns, lost, strict=True) if gone]
            raise InputError(
                f"without fold {name} the model has no estimate of {len(missing):,} coefficients",
                faults=missing[:5],
                do="take fewer folds, or group the levels",
            )
    return rate


def _table(
    experience: Experience,
    sums: Sums,
    family: Family,
    held: Codes,
    names: Sequence[str],
    own: Floats,
    other: Floats,
    top: Floats,
) -> pl.DataFrame:
    count = len(names)

    def added(values: Floats) -> Floats:
        return np.asarray(np.bincount(held, weights=values, minlength=count), dtype=np.float64)

    weight = added(sums.weight)
    mean = (added(sums.total) / weight)[held]
    null = added(2 * (losses(family, sums, mean) + top)) / weight
    by_model, by_boosting = added(own) / weight, added(other) / weight
    safe = np.where(null > 0, null, np.nan)
    return pl.DataFrame(
        {
            "fold": list(names),
            "exposure": added(experience.values("exposure")),
            "claims": added(experience.values("claims")),
            "deviance_model": by_model,
            "deviance_challenger": by_boosting,
            "d_squared_model": 1 - by_model / safe,
            "d_squared_challenger": 1 - by_boosting / safe,
            "weight": weight,
            "null": null,
        }
    ).with_columns(pl.selectors.float().fill_nan(None))


def _segments(
    experience: Experience,
    challenger: Challenger,
    score: _Score,
    boosted: Floats,
    gain: Floats,
    least: float,
    level: float,
) -> pl.DataFrame:
    """Every level of one factor and of two with enough claims, tested."""
    fit, s = score.fit, score.fit.sums
    reach = float(ndtri(0.5 + level / 2))
    claims, exposure = experience.values("claims"), experience.values("exposure")
    squares = s.total_squared - 2 * fit.rate * s.total_weight + fit.rate**2 * s.weight_squared
    keys = list(challenger.details["levels"])
    codes = {
        name: experience.cells[name].to_physical().to_numpy().astype(np.int64) for name in keys
    }
    frames = []
    for names in [*((k,) for k in keys), *combinations(keys, 2)]:
        every = [np.asarray(experience.levels(name), dtype=object) for name in names]
        group = codes[names[0]]
        for name, known in zip(names[1:], every[1:], strict=True):
            group = group * len(known) + codes[name]
        there, group = np.unique(group, return_inverse=True)
        count = len(there)

        def added(values: Floats, group: Codes = group, count: int = count) -> Floats:
            return np.asarray(np.bincount(group, weights=values, minlength=count), np.float64)

        places = np.unravel_index(there, [len(known) for known in every])
        said = [known[place] for known, place in zip(every, places, strict=True)]
        actual, expected = added(s.total), added(s.weight * fit.rate)
        error = reach * np.sqrt(np.maximum(added(squares), 0)) / expected
        z = score.test(np.ones(len(group)), group, count)
        frames.append(
            pl.DataFrame(
                {
                    "term": [":".join(names)] * count,
                    "level": [" × ".join(parts) for parts in zip(*said, strict=True)],
                    "exposure": added(exposure),
                    "claims": added(claims),
                    "actual": actual,
                    "expected_model": expected,
                    "expected_challenger": added(s.weight * boosted),
                    "actual_to_model": actual / expected,
                    "lower": np.maximum(actual / expected - error, 0),
                    "upper": actual / expected + error,
                    "actual_to_challenger": actual / added(s.weight * boosted),
                    "gain": added(gain),
                    "z": z,
                    "p_value": 2 * ndtr(-np.abs(z)),
                }
            )
        )
    return pl.concat(frames).filter(pl.col("claims") >= least, pl.col("z").is_finite())


def _require_same(experience: Experience, challenger: Challenger, model: RatingModel) -> Experience:
    """The cells of the response, where experience, challenger and model go together."""
    response, details = challenger.facts["response"], model.details
    faults = []
    if experience.basis.fingerprint != challenger.details["experience"]:
        faults.append("the challenger was fitted on other cells")
    if details["response"] != response:
        faults.append(f"a model of {details['response']} against a challenger of {response}")
    elif details["link"] != "log" or details["family"] == "log_normal":
        faults.append(f"a model with family {details['family']} has no score of the mean")
    if details.get("without_inference"):
        faults.append(str(details["without_inference"]))
    faults += [f"the model has {w} {details[w]!r}" for w in ("weight", "offset") if details.get(w)]
    if faults:
        raise InputError(
            "a model and a challenger that cannot be held against each other",
            faults=faults,
            do="fit both on this experience and response, the model plainly",
        )
    seen = claims_with_amounts(experience, None) if response == "severity" else experience
    if int(seen.values(RESPONSES[response].rows).sum()) != int(model.facts["rows"]):
        raise InputError(
            f"the model was fitted on {model.facts['rows']:,} rows, the challenger on "
            f"{int(seen.values(RESPONSES[response].rows).sum()):,}",
            do="fit both on this experience",
        )
    return seen


def _segment(term: str, level: str, lang: Language) -> str:
    """Name a segment: factor and level."""
    return f"{label(term, lang)}: {level_label(level, lang)}"
