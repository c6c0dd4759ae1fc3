"""The models of a study on a part of the book they were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.claims.models import fit_frequency
from pricing.claims.severity import fit_severity
from pricing.estimate.design import variables
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.validation.calibration import calibration
from pricing.validation.lift import lift
from pricing.validation.lorenz import lorenz
from pricing.validation.murphy import murphy

__all__ = ["validate"]


def validate(
    train: Experience,
    test: Experience,
    frequency: str,
    *,
    severity: str | None = None,
    base: Mapping[str, str] | None = None,
) -> dict[str, Result]:
    """Fit the study's models to one part of the book and judge them on the other.

    Parameters
    ----------
    train, test : Experience
        What the models may see, and what they are judged on.
    frequency : str
        Formula of the frequency, the health group in it.
    severity : str, optional
        Formula of the severity; then frequency times severity is held against amounts too.
    base : mapping of str to str, optional
        Base levels; they change no prediction.

    Returns
    -------
    dict of str to Result
        lift, lorenz, calibration, murphy, and ``calibration:amount`` where there is a severity.

    Raises
    ------
    InputError
        As the fits and the judgements: a level without claims in ``train``, for one.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"age": ["20", "40", "60"] * 4, "year": [2023] * 6 + [2024] * 6,
    ...                      "exposure": 50.0, "claims": [4, 8, 20, 5, 9, 18] * 2})
    >>> seen = Experience.collect(rows, ["age", "year"])
    >>> found = validate(seen.where(pl.col("year") < 2024), seen.where(pl.col("year") == 2024), "age")
    >>> round(found["calibration"].facts["ratio"], 3), list(found)
    (1.0, ['lift', 'lorenz', 'calibration', 'murphy'])
    """
    model = fit_frequency(train, frequency, base=base)
    rate = model.rate()
    found: dict[str, Result] = {
        "lift": lift(test, rate),
        "lorenz": lorenz(test, rate),
        "calibration": calibration(test, rate),
        "murphy": murphy(test, rate),
    }
    if severity is not None:
        own = {k: v for k, v in model.details["base"].items() if k in variables(severity)}
        cost = fit_severity(train, severity, nil="keep", base=own)
        amount = rate * cost.rate()
        found["calibration:amount"] = calibration(test, amount, by="amount")
    return found
