"""The loss ratio of the rating period, projected from the experience, at the estimate and in draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from pricing.errors import InputError
from pricing.loss_ratio.large_charge import LargeCharge
from pricing.reserving.completion import History
from pricing.reserving.emergence import Drawn

__all__ = ["SOURCES", "Projection", "Uncertain"]

Floats = NDArray[np.float64]
SOURCES = ("completion", "trend", "experience", "pooling", "credibility", "process")


@dataclass(frozen=True)
class Uncertain:
    """Draws of all that is not known, one entry per draw: what :class:`Projection` evaluates.

    Examples
    --------
    >>> Uncertain(Drawn(np.ones((2, 3)), np.ones((2, 1)), np.zeros((2, 1))), np.ones(2), np.ones(2)).size
    2
    """

    drawn: Drawn
    large: Floats
    complement: Floats

    @property
    def size(self) -> int:
        """How many draws."""
        return self.drawn.size


@dataclass(frozen=True)
class Projection:
    """How a history becomes the loss ratio of the rating period.

    Attributes
    ----------
    history : History
        Triangle of capped claims over premium at current level, with its model.
    kept : array of bool, periods
        The experience period: months whose level counts; all of them shape pattern and trend.
    weights : mapping of date to float
        Rating period: first day of month to the share of premium earned in it.
    large : LargeCharge
        Whole over capped claims.
    credibility : float
        Weight of the own loss ratio, 0 to 1.
    complement : float
        Loss ratio that the rest of the weight goes to.
    """

    history: History
    kept: NDArray[np.bool_]
    weights: Mapping[date, float]
    large: LargeCharge
    credibility: float = 1.0
    complement: float = 0.0

    def __post_init__(self) -> None:
        if not self.kept.any():
            raise InputError("no month of the experience period has premium")

    def ahead(self) -> Floats:
        """Columns of the months of the rating period, whatever the grain of the history.

        A quarter or a year of which only the end is earned does not stand at its middle.
        """
        return replace(self.history.axis, period="month").columns(list(self.weights))

    def future(self, coefficients: Floats) -> Floats:
        """Expected loss ratio of capped claims in the rating period, before the level's own say."""
        model = self.history.model
        ahead = self.ahead()[:, : model.design.shape[1]]
        share = np.array(list(self.weights.values()))
        found: Floats = np.exp(coefficients @ ahead.T) @ share
        return found

    def growth(self) -> float:
        """Price level of the rating period over that of the last month seen, by the fitted trend."""
        model = self.history.model
        if not model.time:
            return 1.0
        time = list(model.time)
        ahead = self.ahead()[:, time] - model.design[-1, time]
        share = np.array(list(self.weights.values()))
        return float(np.exp(ahead @ model.coefficients[time]) @ share)

    def level(self, paid: Floats, complete: Floats, coefficients: Floats) -> Floats:
        """Level of the experience period over the trend line: Σ paid/rate over Σ premium · q."""
        model, at = self.history.model, self.kept
        rate = model.rate(coefficients)[..., at]
        due = (model.exposure * model.share(complete))[..., at].sum(axis=-1)
        found: Floats = (paid[..., at] / rate).sum(axis=-1) / due
        return found

    def own(self, paid: Floats, complete: Floats, coefficients: Floats) -> Floats:
        """Projected loss ratio of capped claims by the own experience, a row per draw."""
        level = self.level(paid, complete, coefficients)
        found: Floats = level * self.future(coefficients)
        return found

    def at_estimate(self) -> float:
        """The loss ratio after completion, trend, large claims and credibility."""
        model = self.history.model
        own = self.own(model.paid[None], model.complete[None], model.coefficients[None])[0]
        return float(self._mixed(own * self.large.factor, self.complement))

    def draws(self, u: Uncertain, *, only: str | None = None) -> Floats:
        """Expected loss ratio in every draw, with all errors or with those of one source.

        One source at a time, the others stay at their estimates: ``completion`` estimates the trend
        anew with the drawn pattern, ``trend`` the trend from drawn payments, ``experience`` is chance
        in the payments of the experience period, ``pooling`` the charge, ``credibility`` the
        complement's own error.
        """
        model, size = self.history.model, u.size
        paid, pattern, beta = model.paid[None], model.complete[None], model.coefficients[None]
        everything = only is None
        if everything:
            own = self.own(u.drawn.paid, u.drawn.complete, u.drawn.coefficients)
        elif only == "completion":
            refitted = model.estimate(np.repeat(paid, size, axis=0), u.drawn.complete)
            own = self.own(paid, u.drawn.complete, refitted)
        elif only == "trend":
            refitted = model.estimate(u.drawn.paid, np.repeat(pattern, size, axis=0))
            own = self.own(paid, pattern, refitted)
        elif only == "experience":
            own = self.own(u.drawn.paid, pattern, beta)
        else:
            own = np.repeat(self.own(paid, pattern, beta), size)
        large = u.large if everything or only == "pooling" else self.large.factor
        other = u.complement if everything or only == "credibility" else self.complement
        return self._mixed(own * large, other)

    def _mixed(self, own: Floats, complement: Floats | float) -> Floats:
        found: Floats = self.credibility * own + (1 - self.credibility) * np.asarray(complement)
        return found
