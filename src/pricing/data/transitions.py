"""Disability: published matrices and intensities by age, sex and state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import polars as pl

from pricing.data.rates import SEXES
from pricing.data.tables import reference_table
from pricing.errors import InputError, nearest

__all__ = ["disability_matrices", "disability_rates", "illustrative_duration_rates"]

STUDIES = {"clhls": "disability_3state", "hrs": "disability_3state", "hrs_5": "disability_5state"}
MODELS = ("static", "trend", "frailty")


def disability_matrices(horizon: Literal[1, 3] = 1) -> pl.DataFrame:
    """Chances of moving between states of disability, China, ages 65 and over, as printed.

    Parameters
    ----------
    horizon : {1, 3}
        Years from one state to the next. The one-year matrices are the authors' own, and not
        cube roots of the three-year ones in 5 of 14 blocks.

    Returns
    -------
    polars.DataFrame
        ``age_band`` (Enum), ``sex``, ``from_state`` (1 to 3 by severity), ``to_state`` (4 is
        dead), ``probability``. A row adds to 1 within .001, the rounding of the print.

    Raises
    ------
    InputError
        For another horizon.

    Notes
    -----
    Cui et al. (2022), Mathematical Problems in Engineering, article 7980111, tables 3 and 4.

    Examples
    --------
    >>> block = disability_matrices().filter(pl.col("age_band") == "85-90", sex="male", from_state=1)
    >>> block["probability"].to_list()
    [0.332, 0.572, 0.015, 0.08]
    """
    if horizon not in (1, 3):
        raise InputError(f"the matrices are over 1 or 3 years, not {horizon}")
    printed = reference_table("clhls_disability").filter(horizon=horizon).drop("horizon")
    bands = printed["age_band"].unique().sort().to_list()
    return printed.cast({"age_band": pl.Enum(bands), "sex": SEXES})


def disability_rates(
    study: str,
    ages: Sequence[int],
    *,
    model: str = "static",
    year: int | None = None,
    latent: float = 0.0,
) -> pl.DataFrame:
    """Yearly rates of becoming disabled, recovering and dying, by age and sex.

    Parameters
    ----------
    study : {"clhls", "hrs", "hrs_5"}
        China (healthy, disabled, dead), the US with the same states, or the US with chronic
        illness: healthy, ill, disabled, ill_disabled, dead.
    ages : sequence of int
        Whole years, 65 or more, to 110.
    model : {"static", "trend", "frailty"}
        Without time, with a trend in it, or with a random walk beside the trend.
    year : int, optional
        Calendar year, 1998 or later; the trend and the frailty model need it.
    latent : float
        Level of the random walk, 0 its start; read by the frailty model only.

    Returns
    -------
    polars.DataFrame
        ``sex``, ``age``, ``from_state``, ``to_state``, ``rate`` per year (not a probability).

    Raises
    ------
    InputError
        For another study or model, ages outside 65 to 110, a year that lacks or is not used.

    Notes
    -----
    Three states: ln λ = β + γₐ(x − 65)/10 + γ_f·female + γ_t·t/10 + α·v, t = year − 1998 + 1, x
    held over each year of age (Fu, Sherris and Xu 2021, CEPAR working paper 2021/03). Five: ln λ
    = β + γₐx + γ_f·female + φ·w + α·v, wave w = (year − 1998)/2 + 1 (Sherris and Wei 2021, North
    American Actuarial Journal 25(1)), here at exact age x; over the year to x + 1 the mean is
    λ(e^γₐ − 1)/γₐ. Years after 2014 are extrapolated.

    Examples
    --------
    >>> rates = disability_rates("clhls", [65]).filter(sex="male")
    >>> rates.select("from_state", "to_state", pl.col("rate").round(5)).rows()
    [('healthy', 'disabled', 0.00811), ('disabled', 'healthy', 0.10875),
     ('healthy', 'dead', 0.02491), ('disabled', 'dead', 0.10808)]
    """
    if study not in STUDIES:
        raise InputError(f"no study {study!r}{nearest(study, STUDIES)}")
    if model not in MODELS:
        raise InputError(f"no model {model!r}{nearest(model, MODELS)}")
    wrong = [age for age in ages if age != int(age) or not 65 <= age <= 110]
    if wrong or not len(ages):
        raise InputError(f"ages must be whole years from 65 to 110, got {wrong[:3]}")
    if (year is None) != (model == "static"):
        raise InputError(
            "the static model takes no year, the trend and frailty models need one",
            do="give year=2026 with model='trend', or leave both out",
        )
    if year is not None and year < 1998:
        raise InputError(f"the trend starts in 1998, got {year}")
    if latent and model != "frailty":
        raise InputError("only the frailty model has a latent level")
    since = 0 if year is None else year - 1998
    three = STUDIES[study] == "disability_3state"
    lives = pl.DataFrame({"age": ages}, schema={"age": pl.Int64}).join(
        pl.DataFrame({"sex": SEXES.categories}, schema={"sex": SEXES}), how="cross"
    )
    reading = {
        "constant": pl.lit(1.0),
        "age": (pl.col("age") - 65) / 10 if three else pl.col("age"),
        "female": (pl.col("sex") == "female").cast(pl.Int64),
        "time": pl.lit((since + 1) / 10 if three else since / 2 + 1),
        "latent": pl.lit(latent),
    }
    terms = reference_table(STUDIES[study]).filter(study=study.removesuffix("_5"), model=model)
    moves = terms.pivot(on="term", index=["from_state", "to_state"], values="value")
    log_rate = pl.sum_horizontal(
        pl.col(f"{term}_value") * reading[term] for term in moves.columns[2:]
    )
    named = moves.rename({term: f"{term}_value" for term in moves.columns[2:]})
    return (
        lives.sort("sex", "age")
        .join(named, how="cross")
        .select("sex", "age", "from_state", "to_state", rate=log_rate.exp())
    )


def illustrative_duration_rates(ages: Iterable[float], durations: Iterable[float]) -> pl.DataFrame:
    """Rates of recovery and death of the disabled that depend on duration: an example, no basis.

    Its origin is unconfirmed and its figures jump (``docs/reference_tables.md``). It is here to
    show and test models with duration; do not price from it.

    Parameters
    ----------
    ages : iterable of float
        Attained ages in years, 18 to 67.
    durations : iterable of float
        Years since onset, 0 or more.

    Returns
    -------
    polars.DataFrame
        ``sex``, ``to_state`` ("active" or "dead"), ``age``, ``duration``, ``rate`` per year.

    Raises
    ------
    InputError
        For ages outside 18 to 67 and durations that are negative or not finite.

    Notes
    -----
    ln μ(x, z) = a + bx + cz on the piece of durations z that holds z.

    Examples
    --------
    >>> found = illustrative_duration_rates([40], [1]).filter(sex="female")
    >>> found.select("to_state", pl.col("rate").round(4)).rows()
    [('active', 0.4762), ('dead', 0.0111)]
    """
    x, z = [float(age) for age in ages], [float(duration) for duration in durations]
    if not x or any(not 18 <= age <= 67 for age in x):
        raise InputError("ages must lie in 18 to 67")
    if not z or any(not 0 <= duration < float("inf") for duration in z):
        raise InputError("durations must be 0 years or more")
    pieces = reference_table("danish_disability").rename({"age": "b", "duration": "c"})
    grid = pl.DataFrame({"age": x}).join(pl.DataFrame({"duration": z}), how="cross")
    duration = pl.col("duration")
    held = (
        (duration > pl.col("duration_above")) | ((duration == 0) & (pl.col("duration_above") == 0))
    ) & (duration <= pl.col("duration_to").fill_null(float("inf")))
    rate = (pl.col("constant") + pl.col("b") * pl.col("age") + pl.col("c") * duration).exp()
    return (
        pieces.join(grid, how="cross")
        .filter(held)
        .select(pl.col("sex").cast(SEXES), "to_state", "age", "duration", rate=rate)
        .sort("sex", "to_state", "age", "duration")
    )
