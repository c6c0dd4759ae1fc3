"""What is true of a simulated book: every parameter, its unit, its default, its limits."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

from pricing.errors import InputError

__all__ = ["CHANNELS", "GROUPS", "REGIONS", "SEXES", "TIERS", "BookParameters"]

SEXES = ("female", "male")
REGIONS = ("beijing", "shanghai", "guangdong", "shandong", "sichuan")
TIERS = ("basic", "standard", "premium")
CHANNELS = ("agent", "app", "group")
GROUPS = ("G0", "G1", "G2", "G3", "G4")

_LENGTHS = {
    "region_share": len(REGIONS),
    "region_effect": len(REGIONS),
    "tier_share": len(TIERS),
    "tier_effect": len(TIERS),
    "tier_severity": len(TIERS),
    "channel_share": len(CHANNELS),
    "score_level": 3,
    "score_spread": 3,
    "score_latent": 3,
    "value_weights": 4,
    "cutoffs": len(GROUPS) - 1,
    "discounts": len(GROUPS),
}
_SUM_TO_ONE = ("region_share", "tier_share", "channel_share", "value_weights")
_FRACTIONS = (
    *(
        "reported_share",
        "interim_share",
        "male_share",
        "latent_persistence",
        "steps_latent",
        "day_icc",
        "steps_weight",
    ),
    *("cancellation_rate", "death_rate", "opt_out_rate", "score_persistence"),
    *("region_share", "tier_share", "channel_share", "value_weights", "score_latent", "discounts"),
)
_ABOVE_ZERO = (
    *("age_mean", "age_sd", "programme_rate_ratio", "severity_mean", "severity_cv"),
    *("tier_severity", "paid_lag_mean", "paid_lag_cv", "steps_mean", "steps_cv", "day_icc"),
    "reported_share",
    *("minutes_mean", "credibility_days", "target_loss_ratio"),
)
_NOT_BELOW_ZERO = (
    *(
        "case_estimate_cv",
        "steps_response",
        "wear_sd",
        "minutes_sd",
        "minutes_elasticity",
        "score_spread",
        "prior_value",
    ),
    *("hysteresis", "min_valid_days"),
)


@dataclass(frozen=True, kw_only=True)
class BookParameters:
    """What is true of a simulated long-term medical book with a health-group discount.

    The defaults describe a Chinese book whose admissions fall with a latent health U that
    no insurer sees. The **expected effect of the programme is a rate ratio of 0.97**
    (``programme_rate_ratio``): members have 3 % fewer admissions than they would have had
    outside, and every other gap between members and the rest is selection.

    Rates are per policy year, effects are on the log of the rate or of the odds, ages count
    from 45, money is in yuan.

    Parameters
    ----------
    male_share : float
        Share of men among the lives at issue.
    age_mean : float
        Mean of the normal ages at issue, in years, before the cut to 18 to 65.
    age_sd : float
        Standard deviation of those ages, in years.
    region_share : tuple of float
        Shares of beijing, shanghai, guangdong, shandong, sichuan at issue.
    tier_share : tuple of float
        Shares of the plan tiers basic, standard, premium at issue.
    channel_share : tuple of float
        Shares of the channels agent, app, group at issue.
    chronic_intercept : float
        Log-odds of a chronic condition at issue, at age 45 and mean latent health.
    chronic_age : float
        Change of these log-odds per year of age.
    chronic_latent : float
        Change of these log-odds per unit of latent health at issue.
    latent_persistence : float
        Year-to-year correlation of latent health U, a stationary AR(1) with mean 0 and
        variance 1; higher is healthier.
    rate_intercept : float
        Log admission rate per policy year: female, 45, guangdong, basic, not chronic, U = 0.
    rate_age : float
        Change of the log rate per year of attained age at the start of the policy year.
    rate_male : float
        Change of the log rate for men.
    rate_latent : float
        Change of the log rate per unit of latent health.
    rate_chronic : float
        Change of the log rate with a chronic condition.
    region_effect : tuple of float
        Change of the log rate by region.
    tier_effect : tuple of float
        Change of the log rate by tier.
    programme_rate_ratio : float
        Expected programme effect: admission rate inside the programme over the rate the same
        life would have outside, in every policy year of membership.
    severity_mean : float
        Mean amount of an admission in yuan, basic tier, at the prices of ``price_year``.
    severity_cv : float
        Coefficient of variation of the lognormal amount.
    tier_severity : tuple of float
        Factor on the amount by tier.
    inflation : float
        Growth per calendar year of claim amounts and of the filed standard premium.
    price_year : int
        Calendar year in which ``severity_mean`` holds.
    paid_lag_mean : float
        Mean days from admission to payment, lognormal, whole days.
    paid_lag_cv : float
        Coefficient of variation of that lag.
    reported_share : float
        Share of that lag gone by, on average, when the claim is reported: lag times a uniform
        number to the power 1 / share - 1.
    case_estimate_cv : float
        Coefficient of variation of the case reserve set at the report, lognormal around the
        amount.
    interim_share : float
        Share of claims with an interim payment, of half the amount on average, half-way between
        report and last payment.
    cancellation_rate : float
        Probability that a policy is cancelled within a full policy year.
    death_rate : float
        Probability of death within a full policy year at age 45; independent of U.
    death_age : float
        Change of the log of that probability per year of age.
    join_intercept : float
        Log-odds of joining the programme at a renewal, at age 45, U = 0, not sold by app.
    join_latent : float
        Change of these log-odds per unit of latent health: the selection.
    join_age : float
        Change of these log-odds per year of age.
    join_app : float
        Change of these log-odds for policies sold by app.
    opt_out_rate : float
        Probability that a member leaves the programme at a renewal, for good.
    steps_mean : float
        Mean daily steps between lives without the programme.
    steps_cv : float
        Coefficient of variation of lognormal daily steps between lives.
    steps_latent : float
        Correlation of the life's log steps with latent health.
    steps_response : float
        Daily steps added by the incentive while in the programme.
    day_icc : float
        Intraclass correlation of a single day of log steps; a month of n valid days has the
        reliability n·icc / (1 + (n - 1)·icc) (Spearman-Brown).
    wear_level : float
        Mean log-odds that a day is valid (automatic source, worn long enough).
    wear_sd : float
        Standard deviation of these log-odds between lives.
    minutes_mean : float
        Median active minutes per week at ``steps_mean`` steps a day.
    minutes_elasticity : float
        Elasticity of active minutes to steps.
    minutes_sd : float
        Standard deviation of the log of active minutes from month to month, given steps.
    steps_weight : float
        Weight of step points in the activity score; active minutes have the rest.
    score_level : tuple of float
        Normal score of the median habit, prevention and marker score.
    score_spread : tuple of float
        Spread of these three on the normal scale; the score is the normal probability.
    score_latent : tuple of float
        Squared correlation of these three, on the normal scale, with latent health.
    score_persistence : float
        Share of the rest of their variance that stays with the life for good.
    value_weights : tuple of float
        Weights of activity, habit, prevention and marker scores in the health value.
    credibility_days : float
        Valid days at which the observed health value has credibility one half.
    prior_value : float
        Health value (0 to 1,000) towards which few valid days are shrunk.
    cutoffs : tuple of float
        Health values at which the groups G1, G2, G3, G4 begin.
    hysteresis : float
        Health value by which a cut-off must be passed before the target group changes.
    min_valid_days : int
        Valid days in the measuring year below which the group is held.
    discounts : tuple of float
        Discount on the standard premium by group G0 to G4, as fractions.
    target_loss_ratio : float
        Expected claims over the filed standard premium.
    renew_intercept : float
        Log-odds of renewing at an unchanged premium and U = 0.
    renew_price : float
        Change of these log-odds per unit of ln(premium offered / premium of last year); the
        price elasticity of renewal is this times one minus the probability of renewal.
    renew_latent : float
        Change of these log-odds per unit of latent health: the healthier leave more.

    Raises
    ------
    InputError
        Where a parameter is out of its domain; every fault is listed.

    Notes
    -----
    Sources: admissions, mean 10,316 yuan, joining odds, latent persistence and elasticity are
    the selection-bias fixture and simulation design of the project's own reference,
    ``health_value.md`` F6, F8 and D4 (2025); mean steps 6,189 a day in China, Stanford
    (2017); step response Mitchell et al. (BJSM, 2020); day ICC .41 Clemes (2008). The rest is
    assumed so that the groups are populated; nothing here is estimated from a real insurer.

    Examples
    --------
    >>> BookParameters().programme_rate_ratio
    0.97
    >>> BookParameters(discounts=(0.0, 0.0, 0.0, 0.0, 0.0)).discounts[4]
    0.0
    >>> BookParameters(male_share=1.2)
    Traceback (most recent call last):
    pricing.errors.InputError: book parameters: 1 of ... parameters cannot be simulated
      - male_share = 1.2: must lie in 0 to 1
      do: correct them; the docstring of BookParameters has their meaning and unit
    """

    male_share: float = 0.48
    age_mean: float = 40.0
    age_sd: float = 11.0
    region_share: tuple[float, ...] = (0.18, 0.18, 0.26, 0.22, 0.16)
    tier_share: tuple[float, ...] = (0.35, 0.45, 0.20)
    channel_share: tuple[float, ...] = (0.45, 0.35, 0.20)
    chronic_intercept: float = -2.5
    chronic_age: float = 0.05
    chronic_latent: float = -0.5

    latent_persistence: float = 0.8
    rate_intercept: float = -2.4
    rate_age: float = 0.045
    rate_male: float = 0.05
    rate_latent: float = -0.30
    rate_chronic: float = 0.45
    region_effect: tuple[float, ...] = (0.10, 0.06, 0.0, -0.04, -0.08)
    tier_effect: tuple[float, ...] = (0.0, 0.03, 0.08)
    programme_rate_ratio: float = 0.97

    severity_mean: float = 10_316.0
    severity_cv: float = 1.5
    tier_severity: tuple[float, ...] = (1.0, 1.15, 1.4)
    inflation: float = 0.03
    price_year: int = 2023
    paid_lag_mean: float = 45.0
    paid_lag_cv: float = 1.0
    reported_share: float = 0.3
    case_estimate_cv: float = 0.3
    interim_share: float = 0.2

    cancellation_rate: float = 0.008
    death_rate: float = 0.0012
    death_age: float = 0.04

    join_intercept: float = -1.97
    join_latent: float = 0.7
    join_age: float = -0.01
    join_app: float = 0.6
    opt_out_rate: float = 0.04

    steps_mean: float = 6_200.0
    steps_cv: float = 0.45
    steps_latent: float = 0.5
    steps_response: float = 600.0
    day_icc: float = 0.41
    wear_level: float = 2.2
    wear_sd: float = 1.0
    minutes_mean: float = 150.0
    minutes_elasticity: float = 1.0
    minutes_sd: float = 0.3

    steps_weight: float = 0.737
    score_level: tuple[float, ...] = (1.5, 1.2, 1.6)
    score_spread: tuple[float, ...] = (1.8, 1.8, 1.8)
    score_latent: tuple[float, ...] = (0.3, 0.2, 0.45)
    score_persistence: float = 0.6
    value_weights: tuple[float, ...] = (0.40, 0.15, 0.15, 0.30)
    credibility_days: float = 60.0
    prior_value: float = 430.0
    cutoffs: tuple[float, ...] = (400.0, 550.0, 700.0, 850.0)
    hysteresis: float = 25.0
    min_valid_days: int = 180
    discounts: tuple[float, ...] = (0.0, 0.05, 0.10, 0.15, 0.20)

    target_loss_ratio: float = 0.70
    renew_intercept: float = 1.99
    renew_price: float = -5.0
    renew_latent: float = -0.10

    def __post_init__(self) -> None:
        faults = [f"{name} = {getattr(self, name)!r}: {fault}" for name, fault in self._faults()]
        if faults:
            raise InputError(
                f"{len(faults)} of {len(asdict(self))} parameters cannot be simulated",
                where="book parameters",
                faults=faults,
                do="correct them; the docstring of BookParameters has their meaning and unit",
            )

    def definitions(self) -> dict[str, str]:
        """Say in words what each parameter is: its entry in this class's documentation.

        Returns
        -------
        dict of str to str
            By name, in the order of the parameters; kept in ``truth.json`` of every book.

        Examples
        --------
        >>> BookParameters().definitions()["steps_response"]
        'Daily steps added by the incentive while in the programme.'
        """
        entries = re.findall(
            r"^(\w+) : .*\n((?:    .+\n)+)", inspect.getdoc(type(self)) or "", re.MULTILINE
        )
        said = {name: " ".join(text.split()) for name, text in entries}
        return {name: said.get(name, "") for name in asdict(self)}

    def _faults(self) -> list[tuple[str, str]]:
        faults = [(name, fault) for name, x in asdict(self).items() if (fault := _fault(name, x))]
        if not faults:
            if any(b <= a for a, b in zip(self.cutoffs, self.cutoffs[1:], strict=False)):
                faults.append(("cutoffs", "must rise from group to group"))
            if self.discounts[0] != 0 or self.discounts[-1] == 1:
                faults.append(("discounts", "G0 is the standard premium, no discount reaches 1"))
            if self.inflation <= -1:
                faults.append(("inflation", "must be above -1"))
        return faults


def _fault(name: str, value: Any) -> str:
    numbers = value if isinstance(value, tuple) else (value,)
    if name in _LENGTHS and len(numbers) != _LENGTHS[name]:
        return f"must have {_LENGTHS[name]} numbers"
    if name not in _LENGTHS and isinstance(value, tuple):
        return "must be one number"
    if any(isinstance(x, bool) or not isinstance(x, Real) for x in numbers):
        return "must be a number"
    if not all(math.isfinite(x) for x in numbers):
        return "must be finite"
    if name in _FRACTIONS and not all(0 <= x <= 1 for x in numbers):
        return "must lie in 0 to 1"
    if name in _ABOVE_ZERO and not all(x > 0 for x in numbers):
        return "must be above zero"
    if name in _NOT_BELOW_ZERO and not all(x >= 0 for x in numbers):
        return "must not be below zero"
    if name in _SUM_TO_ONE and abs(sum(numbers) - 1) > 1e-9:
        return f"must add up to 1, not {sum(numbers):.6g}"
    return ""
