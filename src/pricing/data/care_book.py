"""A simulated file of long-term care cases in payment and past visits to them, with its truth.

A case loses its eligibility at a constant yearly rate after each review (a fracture that healed, a
recovery after a stroke), and nobody says so; a few providers leak. Past visits went mostly where a
hint pointed and partly to a random share, so that whoever fits the outcomes of visits as if they
were drawn at random finds too many.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import expit

from pricing.data.issue import Streams
from pricing.errors import InputError
from pricing.files import replacing, require_replaceable

__all__ = ["CareParameters", "draw_care_cases", "simulate_care_cases"]

Floats = npt.NDArray[np.float64]
GRADES = ("moderate", "severe", "dementia")
DIAGNOSES = ("stroke", "fracture", "dementia", "frailty")
YEAR = dt.date(2024, 1, 1)  # visits fall into this year
NOW = dt.date(2025, 1, 1)  # cases stand as on this day
DAYS = 365.25
TRUTH = "truth.json"


@dataclass(frozen=True, kw_only=True)
class CareParameters:
    """What is true of the simulated cases.

    Attributes
    ----------
    hazard : float
        Yearly rate of losing eligibility: moderate grade, at home, age 80, no evidence flag.
    grade, diagnosis, setting : tuple of float
        Hazard ratios of (moderate, severe, dementia), (stroke, fracture, dementia, frailty) and
        (home, institution).
    age : float
        Change of the log hazard per year of age above 80.
    service_gap, out_of_bed : float
        Hazard ratios of the evidence flags.
    leak, leaking_share : float
        Hazard ratio of leaking providers, and their share of providers.
    death : float
        Yearly rate of death, the same whether eligible or not.
    random_share : float
        Share of cases drawn for a visit at random.
    score_intercept, score_slope : float
        Log-odds of a visit by score, and its slope in the inspector's hint.
    hint : float
        How far the hint rises with the log hazard that no table shows.
    complaint : float
        Probability of a complaint about a case no longer eligible; a tenth of it for the others.
    appeal, appeal_won : float
        Share of findings appealed, and of appeals won.
    collected, lookback : float
        Share of past benefits collected, and months looked back at most.
    benefit : tuple of float
        Monthly benefit in yuan of the three grades.
    """

    hazard: float = 0.12
    grade: tuple[float, float, float] = (1.0, 0.5, 0.3)
    diagnosis: tuple[float, float, float, float] = (1.0, 1.8, 0.6, 0.8)
    setting: tuple[float, float] = (1.0, 0.7)
    age: float = -0.02
    service_gap: float = 2.5
    out_of_bed: float = 4.0
    leak: float = 5.0
    leaking_share: float = 0.05
    death: float = 0.12
    random_share: float = 0.10
    score_intercept: float = -1.2
    score_slope: float = 1.0
    hint: float = 1.0
    complaint: float = 0.05
    appeal: float = 0.15
    appeal_won: float = 0.344
    collected: float = 0.35
    lookback: float = 6.0
    benefit: tuple[float, float, float] = (450.0, 600.0, 600.0)

    def __post_init__(self) -> None:
        rates = (self.hazard, self.service_gap, self.out_of_bed, self.leak, self.lookback)
        above = (*rates, *self.grade, *self.diagnosis, *self.setting, *self.benefit)
        shares = (self.leaking_share, self.random_share, self.complaint, self.appeal)
        inside = (*shares, self.appeal_won, self.collected)
        wrong = [f"{v!r} is not above 0" for v in above if not (np.isfinite(v) and v > 0)]
        wrong += [f"{v!r} is no share" for v in inside if not 0 <= v <= 1]
        if not (np.isfinite(self.death) and self.death >= 0):
            wrong.append(f"{self.death!r} is no rate of death")
        if wrong:
            raise InputError("parameters of the simulated cases are out of range", faults=wrong)


def draw_care_cases(
    cases: int, seed: int, parameters: CareParameters | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Draw cases, the visits of the past year, and what only the simulator knows.

    Parameters
    ----------
    cases : int
        Cases at the begin of the past year, 20 or more.
    seed : int
        0 or more.
    parameters : CareParameters, optional
        What is true.

    Returns
    -------
    cases, visits : polars.DataFrame
        As the contracts ``care_cases`` and ``care_visits`` want them.
    truth : polars.DataFrame
        case_id, hazard (a year), probability_then (no longer eligible at the time of the past
        round), ineligible_then, ineligible_now, leaking.

    Examples
    --------
    >>> cases, visits, truth = draw_care_cases(500, seed=1)
    >>> cases.height, set(visits["chosen"]) <= {"score", "random", "complaint"}
    (500, True)
    """
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in (cases, seed))
    if not whole or cases < 20 or seed < 0:
        raise InputError(f"{cases!r} cases with seed {seed!r} cannot be drawn", do="give 20 cases or more and a seed of 0 or more")  # fmt: skip
    true = parameters or CareParameters()
    streams = Streams(seed, 0)

    def uniform(name: str) -> Floats:
        return streams(name).random(cases)

    def among(name: str, shares: tuple[float, ...]) -> npt.NDArray[np.intp]:
        return np.searchsorted(np.cumsum(shares)[:-1], uniform(name), side="right")

    grade = among("grade", (0.45, 0.40, 0.15))
    diagnosis = among("diagnosis", (0.40, 0.20, 0.15, 0.25))
    setting = among("setting", (0.91, 0.09))
    male = uniform("sex") < 0.42
    age = 62.0 + 34.0 * streams("age").beta(3.0, 2.4, cases)
    providers = max(5, round(cases / 36))  # 5,700 cases with 158 providers, as in Yantai
    leaks = max(1, round(true.leaking_share * providers)) if true.leaking_share > 0 else 0
    provider = np.minimum((uniform("provider") ** 1.6 * providers).astype(np.int64), providers - 1)
    leaking = (provider * 7 % providers) < leaks
    gap, bed = uniform("service_gap") < 0.10, uniform("out_of_bed") < 0.04
    log_hazard = (
        np.log(true.hazard)
        + np.log(true.grade)[grade]
        + np.log(true.diagnosis)[diagnosis]
        + np.log(true.setting)[setting]
        + true.age * (np.floor(age) - 80.0)
        + np.log(true.service_gap) * gap
        + np.log(true.out_of_bed) * bed
        + np.log(true.leak) * leaking
    )
    hazard = np.exp(log_hazard)

    # the past round: day of the visit if there is one, time since the review before it
    at = (uniform("visit_day") * 300).astype(np.int64) + 30  # days after YEAR
    before = 30 + (uniform("review_before") * 700).astype(np.int64)  # days
    onset = streams("onset").exponential(1.0, cases) / hazard * DAYS  # days after the review
    then = onset < before
    unseen = np.log(true.leak) * leaking + 0.7 * streams("hint").standard_normal(cases)
    by_score = expit(true.score_intercept + true.score_slope * true.hint * unseen)
    at_random = uniform("random") < true.random_share
    scored = ~at_random & (uniform("score") < by_score)
    complained = ~at_random & ~scored & (uniform("complaint") < true.complaint * np.where(then, 1.0, 0.1))  # fmt: skip
    seen = at_random | scored | complained
    found = seen & then
    appealed = found & (uniform("appeal") < true.appeal)
    stopped = found & ~(appealed & (uniform("appeal_won") < true.appeal_won))

    # what became of them until now
    now = (NOW - YEAR).days
    review = at - before
    natural = review + 730  # validity of a grade: 24 months
    due = ~seen & (natural < now)
    death = at + streams("death").exponential(1.0, cases) / max(true.death, 1e-12) * DAYS
    reviewed = np.where(seen, at, np.where(due, natural, review))
    ended_by_review = np.where(stopped, at, np.where(due & (onset < 730), natural, now + 1))
    until = np.minimum(ended_by_review, np.ceil(death).astype(np.int64))
    paid = until > now
    again = streams("onset_again").exponential(1.0, cases) / hazard * DAYS
    # an appeal won by one who is not eligible keeps the benefit and the ineligibility
    ineligible_now = np.where(seen & ~then | due, again < now - reviewed, onset < now - review)
    ineligible_now = ineligible_now | (found & ~stopped)

    earlier = (uniform("since") * 3).astype(np.int64) * 730
    since = review - earlier
    hours = np.round(np.where(setting == 0, 1.0, 0.5) + np.where(setting == 0, 2.0, 0.5) * uniform("hours"), 1)  # fmt: skip
    benefit = np.array(true.benefit)[grade]
    months_past = np.clip((before - onset) / DAYS * 12, 0.0, true.lookback)
    recovered = np.round(np.where(stopped, true.collected * benefit * months_past, 0.0), 2)
    birth_days = since - np.round((age + uniform("birth")) * DAYS).astype(np.int64)

    def days(values: npt.NDArray[np.int64], name: str) -> pl.Series:
        whole = np.datetime64(YEAR, "D") + values.astype("timedelta64[D]")
        return pl.Series(name, whole).cast(pl.Date)

    ids = pl.Series("case_id", np.arange(1, cases + 1)).cast(pl.String).str.zfill(7)
    ids = ("C" + pl.DataFrame({"case_id": ids})["case_id"]).alias("case_id")
    scores = (uniform("items") ** 2 * 60).astype(np.int64) * 5
    table = pl.DataFrame(
        {
            "case_id": ids,
            "person_id": ids.str.replace("C", "P"),
            "birth_date": days(birth_days, "birth_date"),
            "sex": np.where(male, "male", "female"),
            "grade": pl.Series(list(GRADES)).gather(grade),
            "setting": pl.Series(["home", "institution"]).gather(setting),
            "provider": "护理机构" + pl.Series(provider + 1).cast(pl.String).str.zfill(3),
            "assessor": "A" + pl.Series((uniform("assessor") * max(4, cases // 120)).astype(np.int64) + 1).cast(pl.String).str.zfill(2),
            "since": days(since, "since"),
            "last_review": days(reviewed, "last_review"),
            "until": days(np.minimum(until, now), "until"),
            "monthly_benefit": benefit,
            "diagnosis": pl.Series(list(DIAGNOSES)).gather(diagnosis),
            "service_gap": gap,
            "out_of_bed": bed,
            "item_scores": pl.Series(scores).cast(pl.String),
        }
    ).with_columns(until=pl.when(~pl.Series(paid)).then("until"))  # fmt: skip
    planned = true.random_share + (1 - true.random_share) * by_score
    chosen = np.where(at_random, "random", np.where(scored, "score", "complaint"))
    visits = (
        pl.DataFrame(
            {
                "visit_id": ids.str.replace("C", "V"),
                "case_id": ids,
                "day": days(at, "day"),
                "last_review": days(review, "last_review"),
                "chosen": chosen,
                "inclusion": np.where(complained, np.nan, planned),
                "random_inclusion": np.where(complained, np.nan, true.random_share),
                "eligible": ~then,
                "recovered": recovered,
                "hours": hours,
                "cost": np.round(60.0 + 70.0 * hours, 2),
                "appealed": appealed,
                "stopped": stopped,
            }
        )
        .with_columns(pl.col("inclusion", "random_inclusion").fill_nan(None))
        .filter(pl.Series(seen))
    )
    if true.random_share == 0:
        visits = visits.with_columns(random_inclusion=pl.lit(None, dtype=pl.Float64))
    truth = pl.DataFrame(
        {
            "case_id": ids,
            "hazard": hazard,
            "probability_then": -np.expm1(-hazard * before / DAYS),
            "ineligible_then": then,
            "ineligible_now": ineligible_now & paid,
            "leaking": leaking,
        }
    )
    return table, visits, truth


def simulate_care_cases(
    folder: str | Path, *, members: int, seed: int, parameters: CareParameters | None = None
) -> Path:
    """Write cases and visits as Parquet with the truth beside them.

    Parameters
    ----------
    folder : path
        ``care_cases/``, ``care_visits/``, ``truth/`` and ``truth.json`` are written into it.
    members : int
        Cases at the begin of the past year.
    seed : int
        0 or more; the same seed gives the same file.
    parameters : CareParameters, optional
        What is true.

    Examples
    --------
    >>> import tempfile
    >>> where = simulate_care_cases(Path(tempfile.mkdtemp()) / "book", members=50, seed=1)
    >>> sorted(p.name for p in where.iterdir())
    ['care_cases', 'care_visits', 'truth', 'truth.json']
    """
    folder = Path(folder)
    require_replaceable(folder, mark=TRUTH, what="a simulated book")
    true = parameters or CareParameters()
    cases, visits, truth = draw_care_cases(members, seed, true)
    paid = cases.select("case_id", "monthly_benefit", "until").join(truth, on="case_id")
    leak = paid.filter(pl.col("until").is_null() & pl.col("ineligible_now"))
    told = {
        "simulator": "care_cases",
        "seed": seed,
        "cases": members,
        "as_of": NOW.isoformat(),
        "parameters": asdict(true),
        "ineligible_now": leak.height,
        "monthly_leakage": float(leak["monthly_benefit"].sum()),
        "in_payment": paid.filter(pl.col("until").is_null()).height,
    }
    with replacing(folder) as beside:
        for name, frame in (("care_cases", cases), ("care_visits", visits), ("truth", truth)):
            (beside / name).mkdir(parents=True)
            frame.write_parquet(beside / name / "part-000.parquet")
        text = json.dumps(told, ensure_ascii=False, indent=1)
        (beside / TRUTH).write_text(text, encoding="utf-8")
    return folder
