"""Terms of cover as one line: deductible, coinsurance, out-of-pocket maximum, limits, layer.

What a plan pays of a loss x is continuous, never falls and is made of straight pieces. Written as
its knots and slopes it serves a claim, a person's year and a whole portfolio alike, and gives the
exact expectation of what is paid from limited expected values (Klugman, Panjer and Willmot, Loss
Models, 5th ed. 2019, section 8.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError

__all__ = ["Terms"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is paid of a loss, of a claim, a person's year or a portfolio.

    In this order: the loss is cut off at ``loss_limit``; the insured pays the ``deductible`` and
    the share ``coinsurance`` of the rest, at most ``out_of_pocket`` in all; the plan pays what is
    left, at most ``limit``; of that, the layer of ``width`` above ``attachment`` counts.

    Attributes
    ----------
    loss_limit : float
        Largest loss that is looked at, currency.
    deductible : float
        What the insured pays first, currency.
    coinsurance : float
        Share of the rest that the *insured* pays, from 0 to 1 (20 % is 0.2; a text that says the
        insurer pays 75 % means 0.25 here).
    out_of_pocket : float
        Most the insured pays, deductible included.
    limit : float
        Most the plan pays.
    attachment, width : float
        Layer of the plan's payment, such as a stop-loss cover.

    Raises
    ------
    InputError
        For negative or not-a-number amounts, a coinsurance outside 0 to 1, an out-of-pocket
        maximum below the deductible.

    Examples
    --------
    >>> plan = Terms(deductible=100.0, coinsurance=0.2, out_of_pocket=300.0, limit=5000.0)
    >>> plan.paid(np.array([50.0, 600.0, 2000.0, 9000.0])).tolist()
    [0.0, 400.0, 1700.0, 5000.0]
    """

    loss_limit: float = math.inf
    deductible: float = 0.0
    coinsurance: float = 0.0
    out_of_pocket: float = math.inf
    limit: float = math.inf
    attachment: float = 0.0
    width: float = math.inf

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be {'zero or more' if low else 'above zero'}, got {value}"
            for name, value, low in (
                ("loss_limit", self.loss_limit, False),
                ("deductible", self.deductible, True),
                ("out_of_pocket", self.out_of_pocket, True),
                ("limit", self.limit, False),
                ("attachment", self.attachment, True),
                ("width", self.width, False),
            )
            if not (value >= 0 if low else value > 0)
        ]
        faults += [
            f"{name} must be finite"
            for name in ("deductible", "attachment")
            if math.isinf(getattr(self, name))
        ]
        if not 0 <= self.coinsurance <= 1:
            faults.append(f"coinsurance is a share from 0 to 1, got {self.coinsurance}")
        if self.out_of_pocket < self.deductible:
            faults.append(
                f"the out-of-pocket maximum {self.out_of_pocket:g} lies below the deductible "
                f"{self.deductible:g}"
            )
        if faults:
            raise InputError("terms of cover that cannot be", faults=faults)
        if not np.any(self._pieces[1] > 0):
            raise InputError("under these terms nothing is ever paid", where=str(self))

    @cached_property
    def _pieces(self) -> tuple[Array, Array]:
        """Where each straight piece starts, and its slope."""
        starts = [0.0, self.deductible, self._own_ends, self.loss_limit]
        rest = 1 - self.coinsurance
        slopes = [0.0, rest, 1.0, 0.0]
        pieces: list[tuple[float, float]] = []
        for k, (start, slope) in enumerate(zip(starts, slopes, strict=True)):
            end = min([*starts[k + 1 :], math.inf])
            if start < end and start < self.loss_limit:
                pieces.append((start, slope))
        if self.loss_limit < math.inf:
            pieces.append((self.loss_limit, 0.0))
        x, s = (np.array(v) for v in zip(*pieces, strict=True))
        for low, high in ((0.0, self.limit), (self.attachment, self.attachment + self.width)):
            x, s = _between(x, s, low, high)
        return x, s

    @property
    def _own_ends(self) -> float:
        """The loss at which the insured has paid all they ever will."""
        if self.coinsurance == 0 or math.isinf(self.out_of_pocket):
            return self.deductible if self.coinsurance == 0 else math.inf
        return self.deductible + (self.out_of_pocket - self.deductible) / self.coinsurance

    @property
    def starts(self) -> Array:
        """Losses at which the slope changes."""
        return self._pieces[0]

    @property
    def slopes(self) -> Array:
        """What is paid of each further unit of loss, from each start on."""
        return self._pieces[1]

    @property
    def heights(self) -> Array:
        """What is paid at each start."""
        x, s = self._pieces
        return np.concatenate([[0.0], np.cumsum(np.diff(x) * s[:-1])])

    @property
    def most(self) -> float:
        """Most that is ever paid."""
        return math.inf if self.slopes[-1] > 0 else float(self.heights[-1])

    def paid(self, loss: npt.ArrayLike) -> Array:
        """Give what is paid of each loss."""
        x = np.asarray(loss, dtype=float)
        at = np.searchsorted(self.starts, x, side="right") - 1
        over = np.where(self.slopes[at] > 0, x - self.starts[at], 0.0)
        return np.asarray(self.heights[at] + self.slopes[at] * over)

    def loss_at(self, payment: npt.ArrayLike) -> Array:
        """Give the largest loss of which no more than the payment is paid."""
        y = np.asarray(payment, dtype=float)
        heights, starts, slopes = self.heights, self.starts, self.slopes
        rising = np.flatnonzero(slopes > 0)
        ends = np.append(heights[1:], self.most)[rising]
        k = np.searchsorted(ends, y, side="right")
        inside = rising[k.clip(max=rising.size - 1)]
        reached = starts[inside] + (y - heights[inside]).clip(0) / slopes[inside]
        return np.where(k < rising.size, reached, math.inf)


def _between(starts: Array, slopes: Array, low: float, high: float) -> tuple[Array, Array]:
    """Pieces of (g − low)₊ ∧ (high − low), from those of g."""
    heights = np.concatenate([[0.0], np.cumsum(np.diff(starts) * slopes[:-1])])
    x, s = list(starts), list(slopes)
    for bound in (low, high):
        if 0 < bound < math.inf:
            ends = np.append(heights[1:], math.inf if slopes[-1] > 0 else heights[-1])
            k = int(np.searchsorted(ends, bound, side="left"))
            if k < len(slopes) and slopes[k] > 0:
                x.append(starts[k] + (bound - heights[k]) / slopes[k])
                s.append(slopes[k])
    at, first = np.unique(x, return_index=True)
    slope = np.array(s)[first]
    middle = at + np.append(np.diff(at) / 2, max(1.0, at[-1]))
    k = np.searchsorted(starts, middle, side="right") - 1
    level = heights[k] + slopes[k] * (middle - starts[k])
    return at, np.where((level > low) & (level < high), slope, 0.0)
