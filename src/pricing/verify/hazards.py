"""Published hazard regression: the release of prisoners and the lung cancer study everybody knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from pricing.survival.cox import Cox, fit_cox

__all__ = ["lung_regression", "prisoners", "study_rows"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
LUNG = "Loprinzi et al. (1994), NCCTG lung cancer data, as analysed by R's survival"


def study_rows(name: str, *columns: str) -> pl.DataFrame:
    """Read columns of a study that comes with lifelines, rossi or lung, without rows that lack any.

    Examples
    --------
    >>> study_rows("lung", "time", "ph.ecog").height
    227
    """
    from lifelines import datasets

    read = {"rossi": datasets.load_rossi, "lung": datasets.load_lung}[name]()
    rows = pl.DataFrame({column: read[column].to_numpy() for column in columns})
    return rows.with_columns(pl.selectors.float().fill_nan(None)).drop_nulls()


def prisoners() -> Found:
    """Seven hazard ratios of arrest after release, and the log-likelihood.

    R stops where the log-likelihood moves by less than 1e-9 of itself and prints −658.7476597; the
    maximum is −658.7476594, so five of its decimals are compared.

    Examples
    --------
    >>> round(prisoners()[2]["fin"], 6)
    -0.379422
    """
    printed = {
        "fin": "-.379422", "age": "-.057438", "race": ".313900", "wexp": "-.149796", "mar": "-.433704",
        "paro": "-.084871", "prio": ".091497", "log-likelihood": "-658.74766",
    }  # fmt: skip
    names = list(printed)[:-1]
    cox = fit_cox(
        study_rows("rossi", "week", "arrest", *names), " + ".join(names), exit="week",
        event="arrest", unit="day",
    )  # fmt: skip
    ours = dict(zip(names, cox.coefficients.tolist(), strict=True)) | {
        "log-likelihood": cox.log_likelihood
    }
    return "Rossi, Berk and Lenihan (1980), as fitted by R's survival, Efron ties", printed, ours


def lung_regression() -> Found:
    """Hazard ratios of death by performance status, age and sex, with errors and tests.

    Of the coefficients of sex the sixth decimal is left out: printed are −.552610 and −.531022, the
    maximum of the likelihood, in lifelines as well, is at −.552612 and −.531024.

    Examples
    --------
    >>> round(lung_regression()[2]["status (status + age)"], 6)
    0.443485
    """
    both, every = "(status + age)", "(age + sex + status)"
    printed = {
        f"status {both}": ".443485", f"status {both}, error": ".115831", f"age {both}": ".011281",
        f"age {both}, error": ".009319", f"likelihood ratio {both}": "19.06",
        f"age {every}": ".011067", f"age {every}, error": ".009267", f"sex {every}": "-.55261",
        f"sex {every}, error": ".167739", f"status {every}": ".463728", f"status {every}, error": ".113577",
        f"log-likelihood {every}": "-729.2301", "sex alone": "-.53102", "sex alone, error": ".167179",
    }  # fmt: skip
    ours: dict[str, float] = {}
    for terms, named in ((("status", "age"), both), (("age", "sex", "status"), every)):
        cox = _lung(*terms)
        for term, value, error in zip(terms, cox.coefficients.tolist(), _errors(cox), strict=True):
            ours |= {f"{term} {named}": value, f"{term} {named}, error": error}
        ours[f"log-likelihood {named}"] = cox.log_likelihood
        ours[f"likelihood ratio {named}"] = cox.facts["likelihood_ratio"]
    alone = _lung("sex")
    ours |= {"sex alone": float(alone.coefficients[0]), "sex alone, error": _errors(alone)[0]}
    return LUNG, printed, ours


def _lung(*terms: str) -> Cox:
    columns = [{"status": "ph.ecog"}.get(term, term) for term in terms]
    rows = study_rows("lung", "time", "status", *columns).rename({"status": "died"})
    rows = rows.rename({"ph.ecog": "status"}) if "status" in terms else rows
    rows = rows.rename({"time": "day"}).cast({"died": pl.Int64})
    return fit_cox(rows, " + ".join(terms), exit="day", event="died", unit="day")


def _errors(cox: Cox) -> list[float]:
    return [float(e) for e in np.sqrt(np.diag(cox.covariance()))]
