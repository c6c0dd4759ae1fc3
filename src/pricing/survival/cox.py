"""Cox regression: hazard ratios from lives, their cells, or weighted rows, exact as on rows.

The hazard of a life is λ_s(t)·e^{xβ}, a baseline of its own per stratum (Cox 1972, JRSS B 34). Every number
is that of R's survival on the rows written out; :mod:`pricing.survival.partial_likelihood` has the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtrc, ndtr
from threadpoolctl import threadpool_limits

from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Floats
from pricing.estimate.inference import wald_tests
from pricing.experience.domain import listed, require_columns
from pricing.experience.engines import AnyFrame
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.series import lying
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.baseline import baseline, survival_at
from pricing.survival.interval import Scale, normal_quantile, require_scale
from pricing.survival.lives import Unit
from pricing.survival.partial_likelihood import CoxFit, Ties, maximum
from pricing.survival.ratios import STANDING
from pricing.survival.risk_sets import RiskSets, Spelling
from pricing.survival.score_residuals import sandwich

__all__ = ["Cox", "fit_cox"]

Errors = Literal["model", "robust"]
FEW_NUMBERS = 20_000_000
FEW_CLUSTERS = 30


class Cox(Result):
    """A fitted Cox model.

    ``.table``: term, level, role, hazard_ratio with lower and upper, coefficient, std_error_model,
    std_error_robust (null where not asked for), p_value, events, time_at_risk; base levels with ratio
    1. ``.frames``: tests (each term, Wald), fit_tests (the whole: likelihood ratio, Wald, score),
    baseline (cumulative hazard at base levels and mean covariates, by stratum).
    """

    kind = "cox"
    ratio: ClassVar[str] = "hazard_ratio"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The coefficients in order."""
        return tuple(Column.read(c) for c in self.details["columns"])

    @property
    def coefficients(self) -> Floats:
        """Logs of hazard ratios."""
        return np.array(self.details["coefficients"])

    @property
    def log_likelihood(self) -> float:
        """Partial log-likelihood at the maximum; ``facts`` has that of no effect as well."""
        return float(self.facts["log_likelihood"])

    def covariance(self, errors: Errors | None = None) -> Floats:
        """Covariance of the coefficients: the model's, or robust where it was asked for."""
        chosen = errors or self.facts["errors"]
        if f"covariance_{chosen}" not in self.details:
            raise InputError(f"no {chosen!r} errors here", do="fit with errors='robust'")
        return np.array(self.details[f"covariance_{chosen}"])

    def hazard_ratios(self, term: str) -> pl.DataFrame:
        """Give the rows of one term."""
        known = self.table["term"].unique(maintain_order=True).to_list()
        if term not in known:
            raise InputError(f"no term {term!r}{nearest(term, known)}")
        return self.table.filter(pl.col("term") == term)

    def values(self, frame: pl.DataFrame) -> Floats:
        """Rows of the design matrix.

        Raises
        ------
        InputError
            For missing columns, levels the model has not seen, and covariates that are null, not
            finite, or outside a B-spline.
        """
        names = list(dict.fromkeys(v for c in self.columns for v in c.variables))
        require_columns(names, frame.columns)
        faults = []
        for name in names:
            known = self.details["levels"].get(name)
            one = pl.col(name)
            if known is None and not frame.schema[name].is_numeric():
                faults.append(f"{name!r} is {frame.schema[name]}, not a number")
                continue
            if known is None:
                bad = ~one.cast(pl.Float64).is_finite().fill_null(False)
                for c in self.columns:
                    if c.smooth == name and c.spline is not None and not c.spline.natural:
                        bad = bad | ~one.is_between(c.spline.low, c.spline.high)
            else:
                spelt = {"yes": "true", "no": "false"}
                bad = ~one.cast(pl.String).is_in([*known, *(spelt.get(k, k) for k in known)])
                bad = bad.fill_null(True)
            many = frame.filter(bad).height
            faults += [f"{name!r} is outside what the model knows in {many:,} rows"] if many else []
        if faults:
            raise InputError(
                "rows the model cannot predict",
                faults=faults,
                do="give levels and values it was fitted on",
            )
        wide = frame.with_columns(**{f"_design_{j}": c.value() for j, c in enumerate(self.columns)})
        found = wide.select(f"_design_{j}" for j in range(len(self.columns)))
        return found.to_numpy().astype(np.float64)

    def relative_hazard(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add ``hazard_ratio``, ``lower`` and ``upper`` of every row against the baseline.

        Examples
        --------
        >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
        >>> cox = fit_cox(rows, "age")
        >>> cox.relative_hazard(pl.DataFrame({"age": [60]}))["hazard_ratio"].round(4).to_list()
        [4.3726]
        """
        x = self.values(frame) - np.array(self.details["centre"])
        reach = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", x, self.covariance(), x), 0))
        eta, reach = x @ self.coefficients, normal_quantile(self.facts["level"]) * reach
        ends = {"hazard_ratio": eta, "lower": eta - reach, "upper": eta + reach}
        with np.errstate(over="ignore"):  # what is past all numbers has no bound
            return frame.with_columns(pl.Series(n, np.exp(v)) for n, v in ends.items())

    def predict(
        self,
        frame: pl.DataFrame,
        times: Sequence[float],
        *,
        scale: Scale = "log-log",
        level: float | None = None,
    ) -> pl.DataFrame:
        """Give the survival of patterns of covariates at some times, with its interval.

        Parameters
        ----------
        frame : polars.DataFrame
            The formula's columns and the strata.
        times : sequence of float
            In the model's unit, 0 or more; beyond the last time of observation null.
        scale : {"log-log", "log", "plain"}
            Of the interval.
        level : float, optional
            Confidence level, the model's own where left out.

        Returns
        -------
        polars.DataFrame
            The frame's columns, time, hazard (cumulative), survival = e^{−hazard}, std_error, lower,
            upper. The variance of a cumulative hazard is that of the baseline and of the coefficients
            (Tsiatis 1981; Therneau and Grambsch 2000, section 10.2.3).

        Examples
        --------
        >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
        >>> cox = fit_cox(rows, "age")
        >>> cox.predict(pl.DataFrame({"age": [50]}), [2]).select("survival").item().__round__(4)
        0.4821
        """
        require_scale(scale)
        z = normal_quantile(self.facts["level"] if level is None else level)
        return survival_at(self, frame, self.values(frame), times, scale, z)

    def finding(self, lang: Language = "en") -> str:
        """Say what matters most and how much better the model is than none."""
        facts = dict(self.facts)
        strata = " × ".join(label(name, lang) for name in facts["strata"])
        named = {
            "factor": label(facts["strongest"], lang),
            "p": _p_value(facts["strongest_p"]),
            "test_p": _p_value(facts["likelihood_ratio_p"]),
            "errors_name": level_label(f"errors_{facts['errors']}", lang),
            "unit_name": level_label(f"unit_{facts['unit']}", lang),
            "strata_text": say("sentence.log_rank_strata", lang, strata=strata) if strata else "",
            "most_name": _place(facts["most_term"], facts["most_level"], lang),
        }
        return say("finding.cox", lang, **(facts | named))

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the hazard ratios of every level and covariate, or of one factor over time at risk."""
        rows = self.table if factor is None else self.hazard_ratios(factor)
        rows = rows.filter(pl.col("role") != "spline")
        named = [
            _place(term, at, lang) if factor is None else at
            for term, at in rows.select("term", "level").rows()
        ]
        seen = rows["time_at_risk"].to_list()
        figure = interval_figure(
            named,
            rows["hazard_ratio"].to_list(),
            rows["lower"].to_list(),
            rows["upper"].to_list(),
            name="hazard_ratio",
            factor=factor or "term",
            lang=lang,
            bars=seen if factor and None not in seen else None,
            bars_name="time_at_risk",
            reference=1.0,
        ).update_layout(yaxis={"title": {"text": label(self.ratio, lang)}})
        return lying(figure) if factor is None and len(named) > STANDING else figure


def fit_cox(
    frame: AnyFrame,
    formula: str,
    *,
    exit: str = "exit",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    lives: str | None = None,
    strata: Sequence[str] = (),
    cause: str | None = None,
    ties: Ties = "efron",
    errors: Errors | None = None,
    cluster: str | None = None,
    base: Mapping[str, str] | None = None,
    unit: Unit = "year",
    level: float = 0.95,
    basis: Basis | None = None,
) -> Cox:
    """Fit a Cox model, grouping the rows first; all numbers are those of the rows.

    Parameters
    ----------
    frame : frame of any engine
        One row per life, per stretch of a life between changes (with ``entry``), or per cell of
        lives (with ``lives``).
    formula : str
        Factors and covariates as in :func:`pricing.estimate.design.parse`: ``"age_band * sex + ns(bmi,
        3)"``; there is no intercept.
    exit, event, entry
        Columns, as of :meth:`pricing.survival.lives.Lives.collect`: a row is at risk on (entry, exit].
    weight : str, optional
        Case weights, above 0, as R's ``weights``: those of a survey, or of Fine and Gray. Deaths that
        tie under Efron each count with their mean weight. Take robust errors with them.
    lives : str, optional
        How many lives each row stands for, whole: exactly as if it were written so many times.
    strata : sequence of str
        Each with a baseline of its own.
    cause : str, optional
        The cause of interest, as the event column has it; the others are censored (cause-specific
        hazard). All together where left out.
    ties : {"efron", "breslow"}
        How deaths at the same time are treated.
    errors : {"model", "robust"}, optional
        Those behind intervals and Wald tests: the inverse information, or Lin and Wei's sandwich.
        Robust where there is a cluster, the model's otherwise.
    cluster : str, optional
        Whose rows belong together, such as a person; each life by itself where left out. The lives
        of one row are then of one cluster.
    base : mapping of str to str, optional
        Base level by factor; else the one with the most time at risk.
    unit : {"day", "month", "year"}
        Unit of time.
    level : float
        Confidence level.
    basis : Basis, optional
        Source, period, filters.

    Returns
    -------
    Cox
        ``.table``, ``.frames["fit_tests"]``, ``.predict(frame, times)``.

    Raises
    ------
    InputError
        For rows out of their domain; nobody leaving; levels that nobody leaves; columns of which the
        risk sets say nothing, or that others span; a likelihood without a maximum, by name.

    Notes
    -----
    The patterns of covariates are held as a matrix, so with continuous covariates memory is that of
    rows × coefficients; factors and whole years keep it small.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4, 5, 6], "event": [1, 1, 1, 1, 1, 0],
    ...                      "sex": ["m", "m", "f", "m", "f", "f"]})
    >>> cox = fit_cox(rows, "sex", base={"sex": "f"})
    >>> cox.table.select("level", pl.col("hazard_ratio", "lower", "upper").round(3)).rows()
    [('f', 1.0, 1.0, 1.0), ('m', 5.408, 0.544, 53.759)]
    """
    errors = errors or ("robust" if cluster else "model")
    _require_options(ties, errors, unit, cluster)
    z = normal_quantile(level)
    spelling = Spelling(
        exit=exit, event=event, entry=entry, weight=weight, lives=lives,
        strata=tuple(listed(strata)), cluster=cluster, cause=cause,
    )  # fmt: skip
    sets = RiskSets.collect(frame, formula, spelling, base=base, basis=basis)
    # on few numbers the threads' waiting costs more than their work
    with threadpool_limits(1 if sets.x.size < FEW_NUMBERS else None):
        fit = maximum(sets, ties)
        robust, clusters = sandwich(fit, sets) if errors == "robust" else (None, 0)
        path, centre = baseline(fit, sets)
    chosen = fit.covariance if robust is None else robust
    tests = wald_tests(sets.columns, fit.coefficients, chosen)
    whole = _whole(fit, chosen)
    table = _table(sets, fit, robust, z)
    notes = _notes(spelling, fit, ties, errors, clusters)
    told = (formula, str(dict(sets.base)), str(asdict(spelling)), ties, errors, str(level), unit)
    basis = replace(
        sets.basis,
        fingerprint=fingerprint(sets.basis.fingerprint, *told),
        notes=(*sets.basis.notes, *notes),
    )
    details: dict[str, Any] = {
        "formula": formula,
        "columns": [c.record() for c in sets.columns],
        "base": dict(sets.base),
        "levels": {n: list(v) for n, v in sets.levels.items()},
        "coefficients": fit.coefficients.tolist(),
        "covariance_model": fit.covariance.tolist(),
        "centre": centre.tolist(),
        "spelling": asdict(spelling),
        "strata": list(spelling.strata),
    }
    details |= {} if robust is None else {"covariance_robust": robust.tolist()}
    return Cox(
        table=table,
        basis=basis,
        facts=_facts(sets, fit, tests, whole, table, errors)
        | {"ties": ties, "unit": unit, "level": level, "strata": list(spelling.strata)},
        frames={"tests": tests, "fit_tests": whole, "baseline": path},
        details=details,
    )


def _require_options(ties: str, errors: str, unit: str, cluster: str | None) -> None:
    asked = ((ties, Ties, "ties"), (errors, Errors, "errors"), (unit, Unit, "unit of time"))
    for given, known, what in asked:
        if given not in get_args(known):
            raise InputError(f"no {what} {given!r}{nearest(str(given), get_args(known))}")
    if cluster and errors == "model":
        raise InputError("the model's errors know no clusters", do="give errors='robust'")


def _notes(s: Spelling, fit: CoxFit, ties: str, errors: str, clusters: int) -> list[str]:
    """Choices and limits a reader must know."""
    notes = [f"{ties} ties; Newton's method, {fit.steps} steps"]
    notes += [f"cause {s.cause}, the others censored"] if s.cause else []
    if errors == "robust":
        notes.append(f"errors robust, {clusters:,} {'clusters' if s.cluster else 'lives'}")
        if s.entry and not s.cluster:
            notes.append("each row is taken for a life; name the life (cluster) if it has several")
        if clusters < FEW_CLUSTERS:
            notes.append(f"only {clusters} clusters: robust errors are too small")
    elif s.weight:
        notes.append("the model's errors take case weights for numbers of lives")
    return notes


def _whole(fit: CoxFit, covariance: Floats) -> pl.DataFrame:
    """Test that nothing matters, three ways."""
    many, start = len(fit.coefficients), fit.null
    chi = {
        "likelihood_ratio": 2 * (fit.fitted.value - start.value),
        "wald": float(fit.coefficients @ np.linalg.pinv(covariance) @ fit.coefficients),
        "score": float(start.score @ np.linalg.solve(start.information, start.score)),
    }
    return pl.DataFrame({
        "fit_test": list(chi), "chi_squared": list(chi.values()), "degrees_of_freedom": many,
        "p_value": [float(chdtrc(many, max(c, 0.0))) for c in chi.values()],
    })  # fmt: skip


def _table(sets: RiskSets, fit: CoxFit, robust: Floats | None, z: float) -> pl.DataFrame:
    plain = np.sqrt(np.diag(fit.covariance))
    safe = None if robust is None else np.sqrt(np.maximum(np.diag(robust), 0.0))
    error, beta = plain if safe is None else safe, fit.coefficients
    with np.errstate(over="ignore", divide="ignore"):
        ratio, low, high = np.exp(beta), np.exp(beta - z * error), np.exp(beta + z * error)
        p = 2 * ndtr(-np.abs(beta) / error)
    left, time = (sets.patterns[n].to_numpy() for n in ("claims", "exposure"))
    rows: list[dict[str, Any]] = []
    for j, c in enumerate(sets.columns):
        level = all(at is not None for at in c.levels)
        here = sets.x[:, j] != 0 if level else np.full(len(left), True)
        rows.append({
            "term": c.term, "level": c.level, "hazard_ratio": ratio[j], "lower": low[j],
            "role": "spline" if c.spline else "estimate" if level else "covariate",
            "upper": high[j], "coefficient": beta[j], "std_error_model": plain[j],
            "std_error_robust": None if safe is None else safe[j], "p_value": p[j],
            "events": left[here].sum(), "time_at_risk": time[here].sum(),
        })  # fmt: skip
    for name, at in sets.base.items():
        here = (sets.patterns[name].cast(pl.String) == at).to_numpy()
        rows.append({
            "term": name, "level": at, "role": "base", "hazard_ratio": 1.0, "lower": 1.0, "upper": 1.0,
            "coefficient": 0.0, "events": left[here].sum(), "time_at_risk": time[here].sum(),
        })  # fmt: skip
    terms = {t: i for i, t in enumerate(dict.fromkeys(c.term for c in sets.columns))}
    places = {(n, at): i for n, known in sets.levels.items() for i, at in enumerate(known)}
    rows.sort(key=lambda r: (terms[r["term"]], places.get((r["term"], r["level"]), 0)))
    order = (
        "term", "level", "role", "hazard_ratio", "lower", "upper", "coefficient", "std_error_model",
        "std_error_robust", "p_value", "events", "time_at_risk",
    )  # fmt: skip
    texts = ("term", "level", "role")
    schema = {n: pl.String if n in texts else pl.Float64 for n in order}
    return pl.DataFrame(rows, schema=schema)


def _facts(
    sets: RiskSets,
    fit: CoxFit,
    tests: pl.DataFrame,
    whole: pl.DataFrame,
    table: pl.DataFrame,
    errors: Errors,
) -> dict[str, Any]:
    first = tests.sort(
        "p_value", -pl.col("chi_squared") / pl.col("degrees_of_freedom"), nulls_last=True
    ).row(0, named=True)
    own = table.filter(pl.col("term") == first["term"], pl.col("role") != "base")
    most = own.sort(pl.col("coefficient").abs(), descending=True).row(0, named=True)
    return {
        "events": float(sets.times["deaths"].sum()),
        "time_at_risk": float(sets.patterns["exposure"].sum()),
        "log_likelihood_null": fit.null.value,
        "log_likelihood": fit.fitted.value,
        "likelihood_ratio": whole["chi_squared"][0],
        "likelihood_ratio_p": whole["p_value"][0],
        "degrees_of_freedom": len(fit.coefficients),
        "strongest": first["term"],
        "strongest_p": first["p_value"],
        "most_term": most["term"],
        "most_level": most["level"],
        "ratio": most["hazard_ratio"],
        "lower": most["lower"],
        "upper": most["upper"],
        "errors": errors,
    }


def _place(term: str, level: str, lang: Language) -> str:
    named = label(term, lang)
    return f"{named}: {level_label(level, lang)}" if level else named


def _p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}"
