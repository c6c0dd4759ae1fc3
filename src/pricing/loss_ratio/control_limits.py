"""Early warning: claims against expected, with alarms that stay rare however often one looks.

A 95 % band looked at every month is passed by chance in most five-year spells; what is watched needs
limits made for watching. Two stand here: evidence whose false alarms are bounded by a theorem at any
number of looks, and CUSUM and EWMA charts with limits calibrated by simulation over a horizon.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy import signal

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.loss_ratio.monitor import OPEN, month_faults
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["EarlyWarning", "evidence", "watch"]

Array = npt.NDArray[np.float64]
Side = Literal["up", "down"]
EFFECTS: dict[str, Array] = {
    "up": np.geomspace(0.02, 1.0, 15),
    "down": np.geomspace(0.02, 0.6, 13),
}
SMOOTHING = 0.2  # EWMA: weight of the newest month
Z95 = 1.959963984540054


class EarlyWarning(Result):
    """Claims watched against expected.

    ``.table``: month, actual, expected (to date), cumulative_actual_to_expected, evidence_up,
    evidence_down (log10 of the e-values) against threshold, alarm (none, up, down); cusum_up,
    cusum_down against cusum_limit; ewma against ewma_limit; naive: whether the month alone passes its
    own 95 % band. ``.frames["power"]``: by method and deterioration, how often and after how many
    months an alarm comes; the rows of no deterioration are its false alarms.

    Examples
    --------
    >>> from datetime import date
    >>> book = pl.DataFrame({"month": pl.date_range(date(2024, 1, 1), date(2025, 6, 1), "1mo", eager=True),
    ...     "expected": [400.0] * 18, "actual": [400.0] * 6 + [480.0] * 12})
    >>> found = watch(book)
    >>> found.facts["alarm"], found.facts["alarm_month"]
    ('up', '2024-08')
    """

    kind = "early_warning"

    def finding(self, lang: Language = "en") -> str:
        """Say whether there is an alarm, since when, and how well the watch sees."""
        head = say(f"sentence.watch_{self.facts['alarm']}", lang, **self.facts)
        sight = ""
        if self.facts["median_months"] is not None:
            sight = say("sentence.watch_delay", lang, **self.facts)
        return head + say(f"finding.{self.kind}", lang, **self.facts) + sight

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the evidence month by month with its threshold; naive alarms as ticks below."""
        table = self.table
        months = table["month"].to_list()
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (("evidence_up", "second"), ("evidence_down", "third")):
            figure.add_scatter(
                x=months,
                y=table[name].to_list(),
                mode="lines+markers",
                line={"width": 2, "color": COLOURS[colour]},
                marker={
                    "size": 7,
                    "symbol": [
                        "circle" if c >= OPEN else "circle-open" for c in table["completion"]
                    ],
                },
                name=label(name, lang),
            )
        figure.add_scatter(
            x=months,
            y=table["threshold"].to_list(),
            mode="lines",
            line={"dash": "dash", "color": COLOURS["text"], "width": 1.5},
            name=label("threshold", lang),
        )
        floor = min(0.0, *table["evidence_up"].to_list(), *table["evidence_down"].to_list()) - 0.4
        by_chance = table.filter("naive")["month"].to_list()
        if by_chance:
            figure.add_scatter(
                x=by_chance,
                y=[floor] * len(by_chance),
                mode="markers",
                marker={"symbol": "line-ns-open", "size": 10, "color": COLOURS["line"]},
                name=label("naive", lang),
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("month", lang)}},
            yaxis={"title": {"text": label("evidence", lang)}},
        )


def watch(
    months: pl.DataFrame,
    *,
    dispersion: float = 1.0,
    largest: float | None = None,
    alpha: float = 0.05,
    horizon: int = 60,
    tolerance: float = 0.0,
    deteriorations: tuple[float, ...] = (0.10, 0.20),
    simulations: int = 2_000,
    seed: int = 20250101,
    currency: str = "CNY",
    source: str = "",
) -> EarlyWarning:
    """Watch monthly claims against expected, with alarms whose false-alarm rate holds.

    Parameters
    ----------
    months : polars.DataFrame
        ``month`` (first day), ``actual`` claims to date (counts, or amounts capped at ``largest``),
        ``expected`` claims of the month in all, above zero; optional ``completion``: the share
        expected to be known by now, above 0 to 1. An open month enters with expected × completion.
    dispersion : float
        Variance over mean of a month: 1 for counts; for amounts the mean squared amount over the
        mean amount (each capped). Differences between persons that expected claims know are no
        noise; where one event brings several claims, give its dispersion, above 1, and ``largest``.
    largest : float, optional
        The most that one event brings: 1 for counts; for amounts the cap. Needed for amounts, since
        nothing can be promised about unbounded ones; cap them (``losses.large``) and watch the rest.
    alpha : float
        Probability of any false alarm, up or down together, above 0 and below 1.
    horizon : int
        Months watched, at least those given: changes are looked for at any of them, and the CUSUM
        and EWMA limits hold over them.
    tolerance : float
        How far expected claims may be off by themselves, as a fraction: no alarm is raised for a
        level within 1 ± tolerance more often than ``alpha``.
    deteriorations : tuple of float
        Changes of level for the power table, fractions; the CUSUM is tuned to the first.
    simulations, seed : int
        Simulated histories for limits and power, and their seed.
    currency, source : str
        For the basis.

    Returns
    -------
    EarlyWarning

    Raises
    ------
    InputError
        For columns missing or outside their domain, months twice or with gaps, amounts without
        ``largest``, a dispersion above it, more months than the horizon, other options outside theirs.

    Notes
    -----
    See :func:`evidence` for the e-values. An alarm up (down) is raised where the e-value reaches 2/α;
    Ville's inequality (1939) bounds the chance that either ever does by α, at any number of looks,
    if months are compound Poisson with the mean, dispersion and cap given. Common shocks (a flu year,
    a price rise) are no noise to it: they raise the alarm, as they should. Refilled every month, the
    bound is for the evidence of the newest row, look after look; for the path within one table it
    holds at each look. In 2,000 simulated books of 60 looks that run off over six months, at α = 5 %,
    the newest row alarmed in 1.5 % and any row of any look in 2.4 %.

    The charts take standardised months z = (S − m) ÷ √(φm): CUSUM C = max(0, C + z − k) with k half of
    the first deterioration (Page 1954), EWMA with weight 0.2 (Roberts 1959); their limits are the
    1 − α quantile of the greatest value over the horizon in simulated histories (Poisson for counts,
    gamma for amounts), so they rest on that law, where the e-values do not.

    A 95 % band of each month alone, looked at for 60 months, gives a false alarm 95 % of the time; one
    of the cumulative ratio in about one history of three (rows ``naive_month`` and
    ``naive_cumulative`` of ``.frames["power"]``).

    Examples
    --------
    >>> from datetime import date
    >>> book = pl.DataFrame({"month": pl.date_range(date(2024, 1, 1), date(2025, 6, 1), "1mo", eager=True),
    ...     "expected": [400.0] * 18, "actual": [400.0] * 18})
    >>> found = watch(book)
    >>> found.facts["alarm"], found.facts["false_alarms"] <= 0.05
    ('none', True)
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"{seed!r} is no seed", where="seed", do="give a whole number, 0 or more")
    top = _options(dispersion, largest, alpha, horizon, tolerance, deteriorations, simulations)
    table = _watched(months, horizon)
    actual, mean = table["actual"].to_numpy(), table["expected"].to_numpy()
    rest = np.full(horizon - mean.size, mean.mean())
    model = _Model(
        np.concatenate([mean, rest]), dispersion, top, alpha, tolerance, deteriorations[0]
    )
    limits = model.calibrate(simulations, seed)
    seen = model.look(actual[None, :], limits)
    threshold = math.log10(2 / alpha)
    table = table.with_columns(
        cumulative_actual_to_expected=np.cumsum(actual) / np.cumsum(mean),
        evidence_up=seen["up"][0],
        evidence_down=seen["down"][0],
        threshold=pl.lit(threshold),
        cusum_up=seen["cusum_up"][0],
        cusum_down=seen["cusum_down"][0],
        cusum_limit=pl.lit(limits["cusum"]),
        ewma=seen["ewma"][0],
        ewma_limit=pl.lit(limits["ewma"]),
        naive=np.abs(seen["z"][0]) > Z95,
    ).with_columns(
        alarm=pl.when(pl.col("evidence_up") >= threshold)
        .then(pl.lit("up"))
        .when(pl.col("evidence_down") >= threshold)
        .then(pl.lit("down"))
        .otherwise(pl.lit("none"))
        .cast(pl.Enum(["none", "up", "down"]))
    )
    power = model.power(deteriorations, limits, simulations, seed + 1)
    alarms = table.filter(pl.col("alarm") != "none")
    mine = power.filter(method="evidence")
    first = mine.filter(pl.col("deterioration") == deteriorations[0])
    facts: dict[str, Any] = {
        "alarm": alarms["alarm"][0] if alarms.height else "none",
        "alarm_month": f"{alarms['month'][0]:%Y-%m}" if alarms.height else None,
        "looks": table.height,
        "ratio": float(actual.sum() / mean.sum()),
        "alpha": alpha,
        "horizon": horizon,
        "false_alarms": float(mine.filter(pl.col("deterioration") == 0.0)["alarmed"][0]),
        "naive_false_alarms": float(
            power.filter(pl.col("method") == "naive_month", pl.col("deterioration") == 0.0)[
                "alarmed"
            ][0]
        ),
        "deterioration": deteriorations[0],
        "median_months": first["median_months"][0],
        "naive_months": int(table["naive"].sum()),
    }
    settings = (dispersion, largest, alpha, horizon, tolerance, deteriorations, simulations, seed)
    return EarlyWarning(
        table=table,
        basis=Basis(
            source=source,
            period=f"{table['month'][0]:%Y-%m} – {table['month'][-1]:%Y-%m}",
            rows=months.height,
            claims=float(actual.sum()) if top == dispersion == 1 else 0.0,
            currency=currency,
            fingerprint=fingerprint(months.write_json(), repr(settings)),
            notes=(
                f"dispersion {dispersion:,.6g}, largest claim {top:,.6g}, tolerance {tolerance:g}",
                f"false alarms at most {alpha:.1%}, up and down together, over any number of looks",
                f"charts calibrated over {horizon} months by {simulations:,} simulated histories",
            ),
        ),
        facts=facts,
        frames={"power": power},
    )


def evidence(
    actual: Array,
    expected: Array,
    *,
    side: Side = "up",
    dispersion: float = 1.0,
    largest: float = 1.0,
    horizon: int = 60,
) -> Array:
    """Give the natural log of the e-value after every month: how strongly claims speak against expected.

    Parameters
    ----------
    actual : array of float, shape (histories, months) or (months,)
        Claims of each month.
    expected : array of float, shape (months,)
        Their expectation, above zero.
    side : {"up", "down"}
        Against more claims than expected, or fewer.
    dispersion, largest : float
        φ, variance over mean of a month, and B, the most one claim brings; both 1 for counts.
    horizon : int
        A change may begin in any of these months.

    Returns
    -------
    array of float, shape of ``actual``
        An e-value of 20 (log 3.0) is reached by chance at most once in twenty watches.

    Notes
    -----
    For compound Poisson claims S with mean m, claims X in [0, B] and φ = E X² ÷ E X, each
    exp(λS − λm − mφ·g(λ)) has expectation at most 1, where g is (e^{λB} − 1 − λB) ÷ B² for λ > 0
    (Bennett 1962) or where every claim is B (counts: exact, the Poisson likelihood ratio), and λ²/2
    for λ < 0. Products over months are supermartingales, for any level at or below (above)
    expected too; so is their mean over 15 (13) sizes of change and over the month it begins in, half
    the weight on the first and half spread evenly: mixtures as in Robbins (1970), for which Ville's
    inequality P(sup e ≥ 1/α) ≤ α holds.

    Examples
    --------
    >>> evidence(np.array([100.0, 130.0, 130.0, 130.0]), np.full(4, 100.0)).round(2).tolist()
    [-0.33, 0.79, 3.57, 7.13]
    """
    s = np.asarray(actual, dtype=np.float64)
    m = np.asarray(expected, dtype=np.float64)
    effects = EFFECTS[side]
    exact = largest == dispersion
    sign = 1.0 if side == "up" else -1.0
    if exact or side == "up":
        rate = np.log1p(sign * effects * largest / dispersion) / largest
        growth = np.expm1(rate * largest) - rate * largest
        cost = dispersion * growth / largest**2
    else:
        rate = -effects / dispersion
        cost = dispersion * rate**2 / 2
    # shape (..., months, effects)
    steps = rate * (s - m)[..., None] - cost * m[:, None]
    path = np.cumsum(steps, axis=-2)
    months = m.size
    weight = np.full(max(horizon, months), 0.5 / max(max(horizon, months) - 1, 1))
    weight[0] = 0.5 if weight.size > 1 else 1.0
    before = np.concatenate([np.zeros_like(path[..., :1, :]), path[..., :-1, :]], axis=-2)
    begun = np.logaddexp.accumulate(np.log(weight[:months])[:, None] - before, axis=-2)
    mixed = np.logaddexp.reduce(path + begun, axis=-1) - math.log(effects.size)
    left = 1 - np.cumsum(weight)[:months]
    found: Array = np.logaddexp(mixed, np.log(np.maximum(left, 1e-300)))
    return found


class _Model:
    """Months under watch: their law, the evidence and the charts, and what these do by chance."""

    def __init__(
        self, mean: Array, phi: float, top: float, alpha: float, tolerance: float, shift: float
    ) -> None:
        self.mean, self.phi, self.top = mean, phi, top
        self.alpha, self.tolerance = alpha, tolerance
        self.reference = abs(shift) * math.sqrt(mean.mean() / phi) / 2

    def look(self, s: Array, limits: dict[str, float] | None = None) -> dict[str, Array]:
        """Evidence (log10) and charts of histories, shape (histories, months)."""
        n = s.shape[-1]
        m = self.mean[:n]
        common: dict[str, Any] = {
            "dispersion": self.phi,
            "largest": self.top,
            "horizon": self.mean.size,
        }
        up = evidence(s, m * (1 + self.tolerance), side="up", **common)
        down = evidence(s, m * (1 - self.tolerance), side="down", **common)
        z = (s - m) / np.sqrt(self.phi * m)
        found = {
            "up": up / math.log(10),
            "down": down / math.log(10),
            "z": z,
            "cumulative": np.cumsum(s - m, axis=-1) / np.sqrt(self.phi * np.cumsum(m)),
            "ewma": signal.lfilter([SMOOTHING], [1.0, SMOOTHING - 1.0], z, axis=-1),
        }
        for side, sign in (("up", 1.0), ("down", -1.0)):
            walk = np.cumsum(sign * z - self.reference, axis=-1)
            lowest = np.minimum.accumulate(np.minimum(walk, 0.0), axis=-1)
            found[f"cusum_{side}"] = walk - lowest
        return found

    def draw(self, change: float, histories: int, seed: int) -> Array:
        random = np.random.default_rng(seed)
        m = np.broadcast_to(self.mean * (1 + change), (histories, self.mean.size))
        if self.phi == self.top:
            return np.asarray(random.poisson(m / self.top) * self.top, dtype=np.float64)
        return np.asarray(random.gamma(m / self.phi, self.phi), dtype=np.float64)

    def calibrate(self, histories: int, seed: int) -> dict[str, float]:
        """Limits of the charts: quantiles of their greatest value over the horizon."""
        found = self.look(self.draw(0.0, histories, seed))
        cusum = np.maximum(found["cusum_up"], found["cusum_down"]).max(axis=-1)
        ewma = np.abs(found["ewma"]).max(axis=-1)
        return {
            "cusum": float(np.quantile(cusum, 1 - self.alpha, method="higher")),
            "ewma": float(np.quantile(ewma, 1 - self.alpha, method="higher")),
        }

    def power(
        self, changes: tuple[float, ...], limits: dict[str, float], histories: int, seed: int
    ) -> pl.DataFrame:
        """How often and how soon each method alarms, at no change and at each of the changes."""
        line = math.log10(2 / self.alpha)
        rows = []
        for change in (0.0, *changes):
            found = self.look(self.draw(change, histories, seed))
            passed = {
                "evidence": np.maximum(found["up"], found["down"]) >= line,
                "cusum": np.maximum(found["cusum_up"], found["cusum_down"]) > limits["cusum"],
                "ewma": np.abs(found["ewma"]) > limits["ewma"],
                "naive_month": np.abs(found["z"]) > Z95,
                "naive_cumulative": np.abs(found["cumulative"]) > Z95,
            }
            for method, alarm in passed.items():
                ever = alarm.any(axis=-1)
                first = np.where(ever, alarm.argmax(axis=-1) + 1.0, np.inf)
                middle = float(np.median(first))
                rows.append(
                    {
                        "method": method,
                        "deterioration": change,
                        "alarmed": float(ever.mean()),
                        "within_12": float((first <= 12).mean()),
                        "median_months": middle if math.isfinite(middle) else None,
                    }
                )
        return pl.DataFrame(rows, schema_overrides={"median_months": pl.Float64})


def _options(
    dispersion: float,
    largest: float | None,
    alpha: float,
    horizon: int,
    tolerance: float,
    deteriorations: tuple[float, ...],
    simulations: int,
) -> float:
    faults = []
    if not 0 < dispersion < math.inf:
        faults.append(f"dispersion is above zero, got {dispersion}")
    if largest is None and dispersion != 1:
        faults.append("amounts need `largest`, the cap on one claim")
    top = 1.0 if largest is None else float(largest)
    if not 0 < top < math.inf:
        faults.append(f"largest is above zero, got {top}")
    elif dispersion > top * (1 + 1e-9) and largest is not None:
        faults.append(
            f"a dispersion of {dispersion:g} is more than claims of at most {top:g} can have"
        )
    if not 0 < alpha < 1:
        faults.append(f"alpha is above 0 and below 1, got {alpha}")
    if not 0 <= tolerance < 1:
        faults.append(f"tolerance is zero or more and below 1, got {tolerance}")
    if isinstance(horizon, bool) or not isinstance(horizon, int) or not 2 <= horizon <= 600:
        faults.append(f"horizon is from 2 to 600 months, got {horizon}")
    if not deteriorations or not all(-1 < d < math.inf and d for d in deteriorations):
        faults.append(f"deteriorations are fractions above −1, not zero, got {deteriorations}")
    if isinstance(simulations, bool) or not isinstance(simulations, int) or simulations < 200:
        faults.append(f"simulations are 200 or more, got {simulations}")
    if faults:
        raise InputError("options that cannot be", faults=faults)
    return top


def _watched(months: pl.DataFrame, horizon: int) -> pl.DataFrame:
    require_columns(["month", "actual", "expected"], months.columns)
    completion = pl.col("completion") if "completion" in months.columns else pl.lit(1.0)
    table = months.select("month", "actual", "expected", completion.alias("completion"))
    domain = {
        "actual": ("zero or more", pl.col("actual") >= 0),
        "expected": ("above zero", pl.col("expected") > 0),
        "completion": ("above 0 and at most 1", pl.col("completion").is_between(0, 1, "right")),
    }
    table, faults = month_faults(table, domain)
    if table.height > horizon:
        faults.append(f"{table.height} months are more than the horizon of {horizon}")
    if faults or not table.height:
        raise InputError("months that cannot be watched", faults=faults or ["there are none"])
    return table.with_columns(expected=pl.col("expected") * pl.col("completion"))
