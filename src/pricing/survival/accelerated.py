"""Accelerated failure time: factors that stretch or shorten a life, with left truncation and weights.

ln T = x'β + σε. The log-likelihood of cells of lives is Σw{d[ln f(z) − ln σ − ln t] + (1 − d) ln S(z) −
ln S(z_a)}, z = (ln t − x'β)/σ and z_a the same at the entry: a sum over equal lives, so cells give the
fit of the rows, and a life split in two at a time gives that of the whole (Kalbfleisch and Prentice, The
Statistical Analysis of Failure Time Data, 2nd ed. 2002, chapter 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from pricing.errors import InputError, nearest
from pricing.estimate.design import Design, Floats, design, squares, variables
from pricing.estimate.patterns import columns_kept, columns_read, pattern_rows
from pricing.experience.cells import Experience
from pricing.experience.engines import AnyFrame
from pricing.files import fingerprint
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say
from pricing.survival.follow_up import follow_up
from pricing.survival.interval import normal_quantile
from pricing.survival.life_law import LAWS, LifeLaw
from pricing.survival.ratios import (
    factor_levels,
    life_patterns,
    ratio_figure,
    ratio_rows,
    require_free,
    widest,
)

__all__ = ["AcceleratedLife", "fit_aft"]

Law = Literal["weibull", "exponential", "log_normal", "log_logistic"]
MOST_STEPS = 200
TOLERANCE = 1e-9  # largest score in standard errors of its coefficient
MOST_LOG = 230.0  # a life of 10¹⁰⁰
FAR = 1e-6  # largest last step of the linear predictor: one that runs away steps on and on
LEAST_SCALE = 1e-6
LIFE = tuple(f"{a}_{b}" for a in ("median", "mean") for b in ("time", "lower", "upper"))
Numbers = npt.NDArray[np.intp]


class AcceleratedLife(Result):
    """An accelerated failure time model.

    ``.table``: term, level, role, time_ratio (life against the base level), lower, upper, coefficient,
    std_error, lives, events; the row of role ``scale`` is ln σ. ``.frames["life"]``: median and mean
    life by level, other factors at their base and covariates at their mean. ``.facts`` holds σ with its
    interval, the log-likelihood of times and AIC.
    """

    kind = "accelerated_life"

    @property
    def parameters(self) -> Floats:
        """Coefficients, then ln σ (0 for the exponential law)."""
        return np.array(self.details["parameters"], dtype=np.float64)

    @property
    def covariance(self) -> Floats:
        """Inverse observed information of :attr:`parameters`; zero for a σ that is given."""
        return np.array(self.details["covariance"], dtype=np.float64)

    def life(self, patterns: pl.DataFrame) -> pl.DataFrame:
        """Give median and mean life of patterns of factors, with intervals by the delta method.

        The error is that of the logarithm of the median or mean. A log-logistic law with σ ≥ 1 has
        no mean: null.

        Parameters
        ----------
        patterns : polars.DataFrame
            Factors and covariates of the model, one row per pattern.

        Returns
        -------
        polars.DataFrame
            Patterns, then median_time, median_lower, median_upper, mean_time, mean_lower, mean_upper;
            null where there is none or it has no bound.
        """
        require_free(patterns.columns, LIFE)
        x, sigma = self._rows(patterns), float(np.exp(self.parameters[-1]))
        law = LAWS[self.details["law"]]
        middle, (mean, slope) = law.quantile(0.5), law.log_mean(sigma)
        center = x @ self.parameters[:-1]
        columns: dict[str, Floats] = {}
        for name, shift, by_scale in (
            ("median", sigma * middle, sigma * middle),
            ("mean", mean, slope),
        ):
            told = bool(np.isfinite(shift))
            gradient = np.column_stack([x, np.full(len(x), by_scale if told else 0.0)])
            reach = self._reach(gradient)
            log = center + shift if told else np.full(len(x), np.nan)
            for end, sign in (("time", 0.0), ("lower", -1.0), ("upper", 1.0)):
                at = log + sign * reach  # a mean near to none has an end without bound: null
                columns[f"{name}_{end}"] = np.where(at < MOST_LOG, np.exp(np.minimum(at, MOST_LOG)), np.nan)  # fmt: skip
        return patterns.with_columns(pl.Series(n, v).fill_nan(None) for n, v in columns.items())

    def survival(self, patterns: pl.DataFrame, *times: float) -> pl.DataFrame:
        """Give the share still there at times, by pattern, with the interval of z carried over.

        Returns
        -------
        polars.DataFrame
            Patterns, time, survival, lower, upper.
        """
        if not times or not all(np.isfinite(t) and t > 0 for t in times):
            raise InputError(f"times lie above 0, got {times}")
        require_free(patterns.columns, ("time", "survival", "lower", "upper"))
        x, sigma = self._rows(patterns), float(np.exp(self.parameters[-1]))
        law, center = LAWS[self.details["law"]], x @ self.parameters[:-1]
        found = []
        for time in sorted({float(t) for t in times}):
            z = (np.log(time) - center) / sigma
            reach = self._reach(np.column_stack([-x / sigma, -z]))
            ends = {
                name: np.exp(law.log_survival(z + sign * reach)[0])
                for name, sign in (("survival", 0.0), ("lower", 1.0), ("upper", -1.0))
            }
            found.append(patterns.with_columns(time=pl.lit(time), **{n: pl.Series(v) for n, v in ends.items()}))  # fmt: skip
        return pl.concat(found)

    def _rows(self, patterns: pl.DataFrame) -> Floats:
        return pattern_rows(columns_read(self.details["columns"]), self.details["levels"], patterns)

    def _reach(self, gradient: Floats) -> Floats:
        variance = np.einsum("ij,jk,ik->i", gradient, self.covariance, gradient)
        return np.asarray(normal_quantile(self.facts["level"]) * np.sqrt(np.maximum(variance, 0.0)))

    def finding(self, lang: Language = "en") -> str:
        """Say how long a life lasts at the base, and which level stretches it most."""
        facts = {**self.facts, "law_name": say(f"level.law_{self.details['law']}", lang)}
        said = say("finding.accelerated_life", lang, **facts)
        if self.facts["widest"]:
            said += say("sentence.time_ratio_widest", lang, **self.facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the time ratios with their intervals over the lives behind them."""
        return ratio_figure(self.table, "time_ratio", "lives", lang)


def fit_aft(
    frame: AnyFrame,
    formula: str = "",
    *,
    law: Law = "weibull",
    exit: str = "exit",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    source: str = "",
) -> AcceleratedLife:
    """Fit an accelerated failure time model: what stretches or shortens the time in cover.

    Parameters
    ----------
    frame : frame of any engine
        One row per life or spell, or cells of lives.
    formula : str
        Factors, covariates and splines, ``"sex + ns(age, 3)"``; empty for none. See
        :func:`pricing.estimate.design.parse`.
    law : {"weibull", "exponential", "log_normal", "log_logistic"}
        Law of the lifetime.
    exit, event : str
        Columns of the time of leaving or of the end of observation, and whether it was an event.
    entry : str, optional
        Column of the time from which a life is observed.
    weight : str, optional
        Column of the number of lives of a row: two rows and one of weight 2 are the same.
    base : mapping of str to str, optional
        Base level by factor; else the level with most time in cover.
    level : float
        Of the intervals.
    source : str
        For the basis.

    Returns
    -------
    AcceleratedLife

    Raises
    ------
    InputError
        For lives that cannot be followed, terms that are no columns, levels without an event,
        covariates that go together, and a likelihood without a maximum.

    Notes
    -----
    Newton with the observed information, to a score below 1e-9 standard errors; errors from that
    information. Two pieces of one life are as good as the whole.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1.0, 2.0, 4.0, 2.0, 4.0, 8.0], "event": [1, 1, 1, 1, 1, 1],
    ...                      "sex": ["f"] * 3 + ["m"] * 3})
    >>> found = fit_aft(rows, "sex", law="log_normal", base={"sex": "f"})
    >>> found.table.filter(role="estimate")["time_ratio"].round(6).to_list()
    [2.0]
    """
    if law not in LAWS:
        raise InputError(f"no law {law!r}{nearest(str(law), LAWS)}")
    z = normal_quantile(level)
    if not isinstance(formula, str):
        raise InputError(f"the formula is text, got {formula!r}", do="write it as sex + ns(age, 3)")
    names = list(variables(formula)) if formula.strip() else []
    lives = follow_up(frame, names, exit=exit, event=event, entry=entry, weight=weight)
    if not lives["event"].any():
        raise InputError(
            f"nobody leaves among {lives['lives'].sum():,.0f} lives: there is no life to be told",
            do="check the event column",
        )
    with threadpool_limits(1):
        matrix, seen, pattern = _patterns(lives, names, formula, base)
        _require_full_rank(matrix, seen, formula)
        likelihood = _Likelihood.of(LAWS[law], matrix, lives, pattern)
        theta, covariance, value = likelihood.maximise()
    found = ratio_rows(
        "time_ratio", matrix, theta[:-1], covariance[:-1, :-1], z, {
            "lives": np.bincount(pattern, weights=lives["lives"].to_numpy()).astype(np.float64),
            "events": seen.values("claims"),
        }, seen,
    )  # fmt: skip
    sigma, error = float(np.exp(theta[-1])), float(np.sqrt(covariance[-1, -1]))
    if LAWS[law].scaled:
        scale = {"term": "(scale)", "level": "", "role": "scale", "coefficient": float(theta[-1]), "std_error": error}  # fmt: skip
        found = pl.concat([found, pl.DataFrame([scale])], how="diagonal")
    parameters = len(matrix.columns) + LAWS[law].scaled
    weights = lives["lives"].to_numpy()
    facts: dict[str, Any] = {
        "lives": float(weights.sum()), "events": seen.basis.claims, "parameters": parameters,
        "scale": sigma, "scale_lower": float(np.exp(theta[-1] - z * error)),
        "scale_upper": float(np.exp(theta[-1] + z * error)), "shape": 1 / sigma,
        "log_likelihood": value, "aic": 2 * parameters - 2 * value, "level": level,
        **widest(found, "time_ratio"),
    }  # fmt: skip
    means = {
        n: float(seen.values(n) @ seen.values("exposure") / seen.basis.exposure)
        for n in names
        if n not in seen.factors
    }
    bare = AcceleratedLife(
        table=found,
        basis=Basis(
            source=source, rows=int(lives["rows"].sum()), exposure=seen.basis.exposure,
            claims=seen.basis.claims, currency="",
            fingerprint=fingerprint(seen.basis.fingerprint, lives.select(pl.selectors.numeric()).to_numpy().round(9).tobytes(), formula, law, str(dict(matrix.base)), str(level)),
            notes=(f"accelerated failure time, {law} law; errors from the observed information, lives taken as independent",),
        ),
        facts=facts,
        details={
            "law": law, "formula": formula, "columns": columns_kept(matrix.columns),
            "levels": factor_levels(matrix), "base": dict(matrix.base), "means": means,
            "parameters": theta.tolist(), "covariance": covariance.tolist(),
        },
    )  # fmt: skip
    life = bare.life(life_patterns(matrix.base, factor_levels(matrix), means))
    if life["median_upper"][0] is None:
        raise InputError(
            "the median life at the base has no bound: too few leave to tell of it",
            do="bring more lives, or fewer factors",
        )
    ends = {f"median_{n}": v for n, v in zip(("life", "lower", "upper"), life.select("median_time", "median_lower", "median_upper").row(0), strict=True)}  # fmt: skip
    return replace(bare, frames={"life": life}, facts=facts | ends)


def _patterns(
    lives: pl.DataFrame, names: list[str], formula: str, base: Mapping[str, str] | None
) -> tuple[Design, Experience, Numbers]:
    """Give the design by pattern of factors, its cells, and the pattern of every cell of lives."""
    keys = names or ["all"]
    lives = lives if names else lives.with_columns(all=pl.lit("all").cast(pl.Enum(["all"])))
    counted = lives.select(
        *keys,
        exposure=pl.col("lives") * (pl.col("exit") - pl.col("entry")),
        claims=pl.col("lives") * pl.col("event"),
    )
    seen = Experience.collect(counted, keys)
    matrix = design(formula if names else "1", seen, base=base)
    own = "place of the pattern"  # no factor has such a name
    place = seen.cells.select(keys).with_row_index(own)
    at = lives.select(keys).join(place, on=keys, how="left", maintain_order="left")[own]
    return matrix, seen, at.to_numpy().astype(np.intp)


def _require_full_rank(matrix: Design, seen: Experience, formula: str) -> None:
    events, weight = seen.values("claims"), seen.values("exposure")
    n = np.asarray(matrix.matrix.transpose_matvec(events))
    held = np.asarray(matrix.matrix.transpose_matvec(weight))
    faults = [
        f"{c.name}: no event"
        for c, k, w in zip(matrix.columns, n, held, strict=True)
        if c.levels and None not in c.levels and k == 0 and w > 0
    ]
    for name, base in matrix.base.items():
        own = seen.cells.filter(pl.col(name).cast(pl.String) == base)
        faults += [f"{name}[{base}] (base): no event"] if own["claims"].sum() == 0 else []
    if faults:
        raise InputError(
            "levels without an event have no finite time ratio",
            faults=faults,
            do="group them with a neighbour, or leave the factor out",
        )
    gram = np.asarray(matrix.matrix.sandwich(weight))
    size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    if np.linalg.eigvalsh(gram / np.outer(size, size))[0] < 1e-12:
        raise InputError(
            "covariates go together: some column is a combination of the others",
            where=formula,
            do="leave one of them out",
        )


@dataclass(frozen=True)
class _Likelihood:
    """The log-likelihood of cells of lives; design by pattern, so sums go by pattern first."""

    law: LifeLaw
    matrix: Any
    pattern: Numbers
    exit: Floats
    entry: Floats
    late: Numbers
    event: npt.NDArray[np.bool_]
    weight: Floats

    @classmethod
    def of(cls, law: LifeLaw, matrix: Design, lives: pl.DataFrame, pattern: Numbers) -> _Likelihood:
        entry = lives["entry"].to_numpy()
        late = np.flatnonzero(entry > 0)
        return cls(
            law, matrix.matrix, pattern, np.log(lives["exit"].to_numpy()), np.log(entry[late]), late,
            lives["event"].to_numpy(), lives["lives"].to_numpy(),
        )  # fmt: skip

    def at(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Log-likelihood, score and observed information."""
        with np.errstate(all="ignore"):
            return self._at(theta)

    def _at(self, theta: Floats) -> tuple[float, Floats, Floats]:
        sigma, w, d = np.exp(theta[-1]), self.weight, self.event
        center = np.asarray(self.matrix.matvec(theta[:-1]))
        z = (self.exit - center[self.pattern]) / sigma
        dead, there = self.law.log_density(z), self.law.log_survival(z)
        value, u, v = (np.where(d, a, b) for a, b in zip(dead, there, strict=True))
        total = float(w @ (value - np.where(d, theta[-1] + self.exit, 0.0)))
        number = self.matrix.shape[0]
        parts = [(self.pattern, w * u, w * v, z)]
        if len(self.late):
            at, wa = self.pattern[self.late], w[self.late]
            za = (self.entry - center[at]) / sigma
            top, ua, va = self.law.log_survival(za)
            total -= float(wa @ top)
            parts.append((at, -wa * ua, -wa * va, za))
        first, second, cross = np.zeros(number), np.zeros(number), np.zeros(number)
        by_scale, twice = -float(w @ d), 0.0
        for at, u1, v1, z1 in parts:
            first += np.bincount(at, weights=u1, minlength=number)
            second += np.bincount(at, weights=v1, minlength=number)
            cross += np.bincount(at, weights=v1 * z1 + u1, minlength=number)
            by_scale -= float(u1 @ z1)
            twice += float((v1 * z1 + u1) @ z1)
        size = self.matrix.shape[1]
        score, information = np.empty(size + 1), np.empty((size + 1, size + 1))
        score[:-1] = -np.asarray(self.matrix.transpose_matvec(first)) / sigma
        information[:-1, :-1] = -np.asarray(self.matrix.sandwich(second)) / sigma**2
        side = -np.asarray(self.matrix.transpose_matvec(cross)) / sigma
        information[-1, :-1] = information[:-1, -1] = side
        score[-1], information[-1, -1] = by_scale, -twice
        if not self.law.scaled:
            score[-1], information[-1, :], information[:, -1] = 0.0, 0.0, 0.0
            information[-1, -1] = 1.0
        return total, score, information

    def maximise(self) -> tuple[Floats, Floats, float]:
        """Parameters, covariance and log-likelihood at the maximum."""
        theta = np.zeros(self.matrix.shape[1] + 1)
        spent = np.exp(self.exit)
        spent[self.late] -= np.exp(self.entry)
        theta[0] = np.log(self.weight @ spent / (self.weight @ self.event))
        value, score, information = self.at(theta)
        mass = np.zeros(self.matrix.shape[0])
        mass += np.bincount(self.pattern, weights=self.weight, minlength=len(mass))
        size = np.append(np.sqrt(squares(self.matrix, mass) / mass.sum()), 1.0)
        for _ in range(MOST_STEPS):
            inverse = _inverse(information)
            if inverse is not None and _settled(score, inverse, size):
                break
            move = _damped(information, score)
            far = float(np.abs(move[-1]))
            step = min(1.0, 1.0 / far) if far > 1 else 1.0  # σ by no more than e times a step
            while step > 1e-10:
                trial = theta + step * move
                new = self.at(trial)
                if np.isfinite(new[0]) and np.isfinite(new[2]).all() and new[0] >= value - 1e-12 * abs(value):  # fmt: skip
                    break
                step /= 2
            else:
                break
            theta, (value, score, information) = trial, new
            if np.exp(theta[-1]) < LEAST_SCALE:
                raise InputError(
                    "the likelihood has no maximum: all events come at the times the factors say, "
                    "and the scale runs to zero",
                    do="bring more lives, fewer factors, or take the exponential law",
                )
        inverse = _inverse(information)
        if inverse is None or not _settled(score, inverse, size):
            raise InputError(
                "the fit did not converge: the likelihood has no maximum that can be found",
                do="look for covariates without an event on one side, late entries, or take another law",
            )
        if not self.law.scaled:
            inverse[-1, -1] = 0.0
        return theta, inverse, value


def _inverse(information: Floats) -> Floats | None:
    size = np.sqrt(np.maximum(np.diag(information), 1e-300))
    try:
        factor = cho_factor(information / np.outer(size, size))
    except (np.linalg.LinAlgError, ValueError):
        return None
    return np.asarray(cho_solve(factor, np.eye(len(size))) / np.outer(size, size))


def _settled(score: Floats, inverse: Floats, size: Floats) -> bool:
    """Whether the score is nothing in standard errors, and the next step nothing in itself."""
    near = np.max(np.abs(score) * np.sqrt(np.diag(inverse))) < TOLERANCE
    return bool(near and np.max(np.abs(inverse @ score) * size) < FAR)


def _damped(information: Floats, score: Floats) -> Floats:
    """Newton's step; where the information is not positive, its eigenvalues are turned so."""
    size = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    held = np.maximum(np.abs(values), 1e-8 * np.abs(values).max())
    return np.asarray((vectors @ ((vectors.T @ (score / size)) / held)) / size)
