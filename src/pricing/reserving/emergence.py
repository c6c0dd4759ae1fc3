"""How claims emerge: exposure × rate × share paid by each lag, with the joint error of the three.

Model of one line of short-tail business, origin period t and development lag j:

    E[C_tj] = e_t · exp(x_t'β) · p_j,    Var[C_tj | G_t] = φ_t E[C_tj | G_t]

with e the exposure (policy-years, or premium at current level), x'β the level, the trend and the
season, p the development pattern, φ = E[X²] / E[X] of a claim X (compound Poisson) that grows with the
trend, and G_t a common factor of period t with mean 1 and variance τ² (an epidemic, a month of
fewer working days), zero where the history shows no more than chance.

Estimated as an actuary would by hand: p by volume-weighted chain ladder, β by quasi-Poisson on what is
paid with exposure × share complete as the offset (Cape Cod with a trend), φ from claims, τ² by
moments. The error is that of the whole procedure at once: histories drawn from the fitted model, each
estimated anew, so that completion and trend err together as they do.

Sources: Mack (1991) on the cross-classified model; Bornhuetter and Ferguson (1972); Stanard (1985,
Cape Cod); England and Verrall (2002) on the parametric bootstrap of a reserving method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing.errors import InputError
from pricing.estimate.period_fit import fit_periods

__all__ = ["Drawn", "Emergence", "completed_share", "emergence"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """Resampled histories and what each would have been estimated as, a row per draw.

    Examples
    --------
    >>> Drawn(paid=np.ones((2, 3)), complete=np.ones((2, 1)), coefficients=np.zeros((2, 1))).size
    2
    """

    paid: Floats
    complete: Floats
    coefficients: Floats

    @property
    def size(self) -> int:
        """How many draws."""
        return int(self.paid.shape[0])


@dataclass(frozen=True)
class Emergence:
    """A fitted model of emergence; arrays run over the origin periods, oldest first.

    Attributes
    ----------
    increments : array, periods × lags
        Paid in each lag; the last lag holds everything from there on.
    exposure : array, periods
    design : array, periods × coefficients
        Level, time in years, seasons.
    complete : array, lags
        Share of the ultimate paid by the end of each lag.
    coefficients : array
        β, the log of the rate per unit of exposure.
    dispersion : float
        φ at the last period's money.
    between : float
        τ², variance of a period's common factor.
    tail : float
        Ultimate over what is paid by the last lag.
    recent : int, optional
        Origins the pattern is taken from; all where None.
    time : tuple of int
        Columns of the design that are trend or break: φ grows with them.

    Examples
    --------
    >>> paid = np.array([[6.0, 3.0, 1.0], [12.0, 6.0, 2.0], [6.0, 3.0, 0.0], [6.0, 0.0, 0.0]])
    >>> seen = emergence(paid, np.array([10.0, 20.0, 10.0, 10.0]), np.ones((4, 1)), dispersion=0.5)
    >>> seen.complete.round(3).tolist(), seen.rate().round(3).tolist()
    ([0.6, 0.9, 1.0], [1.0, 1.0, 1.0, 1.0])
    """

    increments: Floats
    exposure: Floats
    design: Floats
    complete: Floats
    coefficients: Floats
    dispersion: float
    between: float
    tail: float = 1.0
    recent: int | None = None
    time: tuple[int, ...] = ()

    @property
    def age(self) -> Ints:
        """Last lag seen of each period."""
        periods, lags = self.increments.shape
        found: Ints = np.minimum(np.arange(periods)[::-1], lags - 1)
        return found

    @property
    def paid(self) -> Floats:
        """Paid so far by period."""
        found: Floats = self.increments.sum(axis=1)
        return found

    def share(self, complete: Floats | None = None) -> Floats:
        """Share complete of each period: at the estimate, or a row per draw."""
        found: Floats = (self.complete if complete is None else complete)[..., self.age]
        return found

    def rate(self, coefficients: Floats | None = None) -> Floats:
        """Expected ultimate per unit of exposure by period: at the estimate, or a row per draw."""
        beta = self.coefficients if coefficients is None else coefficients
        found: Floats = np.exp(beta @ self.design.T)
        return found

    def money(self) -> Floats:
        """Price level of each period over the last one's, by the fitted trend."""
        time = self.design[:, self.time]
        found: Floats = np.exp((time - time[-1]) @ self.coefficients[list(self.time)])
        return found

    def estimate(self, paid: Floats, complete: Floats) -> Floats:
        """β from what is paid and the share complete, a row per draw."""
        due = np.broadcast_to(self.exposure * self.share(complete), paid.shape)
        return fit_periods(self.design, np.where(due > 0, paid, 0.0), due)

    def draw(self, size: int, rng: np.random.Generator) -> Drawn:
        """Draw histories from the fitted model and estimate each anew.

        Parameters
        ----------
        size : int
            Draws.
        rng : numpy.random.Generator
            Where they come from.
        """
        periods, lags = self.increments.shape
        seen = np.arange(lags)[None, :] <= self.age[:, None]
        pattern = np.diff(self.complete, prepend=0.0)
        mean = np.maximum(self.exposure * self.rate(), 0.0)[:, None] * pattern[None, :]
        scale = (self.dispersion * self.money())[:, None]
        common = _gamma(rng, np.ones((size, periods)), np.full(periods, self.between))
        drawn = np.where(seen, _gamma_cells(rng, common, np.where(seen, mean, 0.0), scale), 0.0)
        if (pattern < 0).any():
            drawn = _no_more_than_paid(drawn)
        complete = completed_share(drawn, tail=self.tail, recent=self.recent)
        paid = drawn.sum(axis=2)
        return Drawn(paid, complete, self.estimate(paid, complete))

    def unpaid(self, drawn: Drawn, weight: Floats, rng: np.random.Generator) -> Floats:
        """Draw what is still to be paid of each period, given what is paid: draws × periods.

        The mean of a draw is (1 − q)(weight · paid / q + (1 − weight) · e · rate) with that draw's
        share complete q and rate. Around it stand the period's own level, which its payments and
        the rate tell only so well, with relative variance (1 − weight)² τ² + weight² φ / (e · rate · q)
        (which is (1 − weight) τ² at Bühlmann's weight), and the claims to come, compound Poisson.

        Parameters
        ----------
        drawn : Drawn
            Error of the estimates.
        weight : array, periods
            Credibility of a period's own payments.
        rng : numpy.random.Generator
            Where the claims come from.
        """
        return self.claimed(self.due(drawn, weight, rng), rng)

    def due(self, drawn: Drawn, weight: Floats, rng: np.random.Generator) -> Floats:
        """Draw the level of what is still to be paid, before the chance of single claims: draws × periods.

        Parameters are those of :meth:`unpaid`.
        """
        share = self.share(drawn.complete)
        own = np.divide(self.paid, share, out=np.zeros_like(share), where=share > 0)
        prior = self.exposure * self.rate(drawn.coefficients)
        mean = (1 - share) * (weight * own + (1 - weight) * prior)
        due = self.exposure * self.rate() * self.share()
        chance = self.dispersion * self.money() / np.where(due > 0, due, np.inf)
        level = (1 - weight) ** 2 * self.between + weight**2 * chance
        found: Floats = mean * _gamma(rng, np.ones(mean.shape), level)
        return found

    def claimed(self, due: Floats, rng: np.random.Generator) -> Floats:
        """Draw the claims to come about their level: draws × periods."""
        return _compound(rng, due, np.broadcast_to(self.dispersion * self.money(), due.shape))

    def by_lag(
        self, drawn: Drawn, due: Floats, unpaid: Floats, period: int, rng: np.random.Generator
    ) -> Floats:
        """Spread what was drawn of a period over its lags to come: draws × lags, added up.

        Claims of the lags are independent gamma of one scale, φ, so that given their sum the shares
        are Dirichlet with parameters due · p_j / ((1 − q) φ) (Johnson, Kotz and Balakrishnan 2000,
        Continuous Multivariate Distributions, chapter 49); the last column is the sum. Where a
        lag takes money back there is no such law: the pattern itself then splits the sum.

        Parameters
        ----------
        drawn : Drawn
            Error of the estimates.
        due, unpaid : array, draws × periods
            What :meth:`due` and :meth:`claimed` gave.
        period : int
            Which one.
        rng : numpy.random.Generator
            Where the shares come from.
        """
        at = int(self.age[period])
        part = np.diff(drawn.complete[:, at:], axis=1)
        if self.tail != 1:
            part = np.column_stack([part, 1 - drawn.complete[:, -1]])
        whole = part.sum(axis=1, keepdims=True)
        part = np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
        scale = self.dispersion * self.money()[period]
        lawful = (part >= 0).all(axis=1, keepdims=True) & (due[:, [period]] > 0)
        shape = np.where(lawful, part * np.maximum(due[:, [period]], 0.0) / scale, 0.0)
        shares = rng.standard_gamma(shape)
        total = shares.sum(axis=1, keepdims=True)
        shares = np.divide(shares, total, out=part, where=lawful & (total > 0))
        grown: Floats = unpaid[:, [period]] * shares.cumsum(axis=1)
        return grown


def emergence(
    increments: Floats,
    exposure: Floats,
    design: Floats,
    *,
    dispersion: float,
    tail: float = 1.0,
    recent: int | None = None,
    time: tuple[int, ...] = (),
) -> Emergence:
    """Fit the model of emergence to one triangle.

    Parameters
    ----------
    increments : array, periods × lags
        Paid (or counted) in each lag, zero where not yet seen; the last origin is at lag 0. The last
        column holds everything from that lag on.
    exposure : array, periods
        Above zero in at least one period; claims without exposure are refused.
    design : array, periods × coefficients
        Level, time, seasons.
    dispersion : float
        φ = Σx² / Σx over claims, at the money they were paid in; 1 for counts.
    tail : float
        Ultimate over paid by the last lag.
    recent : int, optional
        Take the pattern from the most recent origins only.
    time : tuple of int
        Columns of the design that are trend or break: φ grows with them.

    Returns
    -------
    Emergence

    Raises
    ------
    InputError
        For amounts that are not finite, exposure that is not, claims in a period without exposure,
        histories that cannot be completed.

    Notes
    -----
    τ² = max(0, Σ[(paid − m)² − φm] / Σm²) · T / (T − k) with m the fitted paid of T periods and k
    coefficients.

    Examples
    --------
    >>> paid = np.array([[6.0, 4.0], [6.0, 0.0]])
    >>> emergence(paid, np.ones(2), np.ones((2, 1)), dispersion=2.0).share().tolist()
    [1.0, 0.6]
    """
    increments, exposure = np.asarray(increments, float), np.asarray(exposure, float)
    faults = []
    if not np.isfinite(increments).all():
        faults.append("paid amounts that are not finite")
    if not np.isfinite(exposure).all() or (exposure < 0).any():
        faults.append("exposure that is negative or not finite")
    elif ((exposure == 0) & (increments != 0).any(axis=1)).any():
        faults.append("claims in periods without exposure")
    if not (np.isfinite(dispersion) and dispersion > 0):
        faults.append(f"a dispersion of {dispersion}, which must be above zero")
    if not (np.isfinite(tail) and tail > 0):
        faults.append(f"a tail factor of {tail}, which must be above zero")
    if faults:
        raise InputError("a history that cannot be completed", faults=faults)
    complete = completed_share(increments[None], tail=tail, recent=recent)[0]
    if not (np.isfinite(complete).all() and (complete >= 0).all() and complete[-1] > 0):
        raise InputError(
            "no development pattern: payments add to nothing above zero at some lag",
            do="use a longer history, fewer lags, or expected claims for these periods",
        )
    fitted = Emergence(
        increments=increments,
        exposure=exposure,
        design=np.asarray(design, float),
        complete=complete,
        coefficients=np.zeros(design.shape[1]),
        dispersion=dispersion,
        between=0.0,
        tail=tail,
        recent=recent,
        time=time,
    )
    beta = fitted.estimate(fitted.paid[None], complete[None])[0]
    fitted = _with(fitted, coefficients=beta)
    # Σx² / Σx is at the money the claims were paid in; bring it to the last period's.
    money = fitted.money()
    level = float((fitted.paid * money).sum() / fitted.paid.sum())
    fitted = _with(fitted, dispersion=dispersion / level)
    mean = exposure * fitted.share() * fitted.rate()
    spare = max(mean.size - design.shape[1], 1)
    excess = (((fitted.paid - mean) ** 2).sum() * mean.size / spare) - (
        fitted.dispersion * money * mean
    ).sum()
    return _with(fitted, between=max(float(excess / (mean**2).sum()), 0.0))


def completed_share(increments: Floats, *, tail: float = 1.0, recent: int | None = None) -> Floats:
    """Share of the ultimate paid by the end of each lag, by volume-weighted chain ladder.

    q_j = 1/tail · Π_{i ≥ j} Σ_t C_{t,≤i} / Σ_t C_{t,≤i+1} over the origins whose lag i + 1 is seen.

    Parameters
    ----------
    increments : array, draws × periods × lags
        The newest origin has seen lag 0 only; unseen cells are zero.
    tail : float
        Ultimate over what is paid by the last lag.
    recent : int, optional
        Only this many of the latest origins that have seen a lag enter its factor.

    Returns
    -------
    array, draws × lags
        A lag at which nothing was paid by anybody before it is 0; NaN where payments cancel out.

    Examples
    --------
    >>> completed_share(np.array([[[6.0, 3.0, 1.0], [8.0, 4.0, 0.0], [5.0, 0.0, 0.0]]])).round(4).tolist()
    [[0.6, 0.9, 1.0]]
    """
    periods, lags = increments.shape[1:]
    cumulative = increments.cumsum(axis=2)
    ratio = np.ones((increments.shape[0], lags))
    ratio[:, -1] = 1 / tail
    for lag in range(min(lags, periods) - 1):
        last = periods - lag - 1  # origins before this one have seen lag + 1
        first = max(last - recent, 0) if recent else 0
        before = cumulative[:, first:last, lag].sum(axis=1)
        after = cumulative[:, first:last, lag + 1].sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio[:, lag] = np.where(after == before, 1.0, before / after)
    with np.errstate(invalid="ignore"):  # NaN is promised where payments cancel out
        share: Floats = ratio[:, ::-1].cumprod(axis=1)[:, ::-1]
    return share


def _with(model: Emergence, **changes: object) -> Emergence:
    return Emergence(**{**vars(model), **changes})


def _gamma(rng: np.random.Generator, like: Floats, variance: Floats) -> Floats:
    """Factors of mean 1 and the given variance; 1 where it is zero."""
    some = variance > 0
    if not some.any():
        return like
    shape = 1 / np.where(some, variance, 1.0)
    drawn: Floats = np.where(some, rng.gamma(shape, 1 / shape, size=like.shape), like)
    return drawn


def _no_more_than_paid(increments: Floats) -> Floats:
    """Draws × periods × lags in which no more comes back of a period than was paid before."""
    found, before = increments.copy(), np.zeros(increments.shape[:2])
    for lag in range(increments.shape[2]):
        found[:, :, lag] = np.maximum(found[:, :, lag], -before)
        before += found[:, :, lag]
    return found


def _gamma_cells(rng: np.random.Generator, common: Floats, mean: Floats, scale: Floats) -> Floats:
    return _compound(rng, common[:, :, None] * mean[None], np.broadcast_to(scale, mean.shape))


def _compound(rng: np.random.Generator, mean: Floats, scale: Floats) -> Floats:
    """Amounts of given mean and of variance scale · |mean|: gamma, recoveries below zero."""
    drawn: Floats = np.sign(mean) * rng.standard_gamma(np.abs(mean) / scale) * scale
    return drawn
