"""Interest: one rate, one force or a curve of spot rates, all as forces that are level in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.errors import InputError

__all__ = ["Interest", "as_interest", "force_of_interest", "spot_curve"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interest:
    """The force of interest, level between times; the last force holds for ever.

    Attributes
    ----------
    times : tuple of float
        Where each piece starts, years from the start; the first is 0.
    forces : tuple of float
        Force of interest in each piece, per year.

    Raises
    ------
    InputError
        For times that do not rise from 0, forces that are not finite, and numbers that differ.

    Examples
    --------
    >>> curve = Interest((0.0, 2.0), (0.02, 0.03))
    >>> curve.discount([0.0, 2.0, 3.0]).round(6).tolist()
    [1.0, 0.960789, 0.932394]
    """

    times: tuple[float, ...]
    forces: tuple[float, ...]

    def __post_init__(self) -> None:
        times, forces = np.array(self.times, dtype=float), np.array(self.forces, dtype=float)
        if len(times) != len(forces) or not len(times):
            raise InputError(f"{len(times)} times and {len(forces)} forces of interest")
        if not (np.isfinite(times).all() and np.isfinite(forces).all()):
            raise InputError("times and forces of interest must be finite")
        if times[0] != 0 or (np.diff(times) <= 0).any():
            raise InputError("the times of a curve must rise from 0")

    @property
    def flat(self) -> bool:
        """Whether one force holds at all times."""
        return len(set(self.forces)) == 1

    @property
    def breaks(self) -> tuple[float, ...]:
        """Times at which the force changes."""
        return self.times[1:]

    @property
    def said(self) -> str:
        """The interest in words, for a basis."""
        if self.flat:
            return f"interest {np.expm1(self.forces[0]):.6g} a year"
        return f"interest curve of {len(self.forces)} pieces"

    def force(self, time: ArrayLike) -> Floats:
        """Force of interest at times, per year."""
        place = np.searchsorted(self.times, np.asarray(time, dtype=float), side="right") - 1
        return np.asarray(np.array(self.forces)[np.maximum(place, 0)])

    def discount(self, time: ArrayLike) -> Floats:
        """Worth at the start of 1 at each time."""
        time = np.asarray(time, dtype=float)
        starts, forces = np.array(self.times), np.array(self.forces)
        until = np.concatenate([[0.0], np.cumsum(np.diff(starts) * forces[:-1])])
        place = np.maximum(np.searchsorted(starts, time, side="right") - 1, 0)
        return np.asarray(np.exp(-(until[place] + (time - starts[place]) * forces[place])))


def force_of_interest(force: float) -> Interest:
    """Give a level force of interest.

    Parameters
    ----------
    force : float
        Per year; ln(1 + i).

    Examples
    --------
    >>> float(force_of_interest(0.05).discount(1.0).round(6))
    0.951229
    """
    return Interest((0.0,), (float(force),))


def spot_curve(rates: Sequence[float], terms: Sequence[float] | None = None) -> Interest:
    """Read a curve of spot rates; the forward force is level from one term to the next.

    Parameters
    ----------
    rates : sequence of float
        Yearly effective spot rates, such as 0.021.
    terms : sequence of float, optional
        Years to which each applies, rising; 1, 2, 3, ... where left out. After the last the last
        forward force holds.

    Raises
    ------
    InputError
        For no rates, rates of −1 or less and terms that do not rise from above 0.

    Examples
    --------
    >>> spot_curve([0.02, 0.025]).discount([1, 2]).round(6).tolist()
    [0.980392, 0.951814]
    """
    ends = np.arange(1.0, len(rates) + 1) if terms is None else np.array(terms, dtype=float)
    values = np.array(rates, dtype=float)
    if not len(values) or len(values) != len(ends):
        raise InputError(f"a curve needs a term for each rate, got {len(values)} and {len(ends)}")
    if not np.isfinite(values).all() or (values <= -1).any():
        raise InputError("spot rates must be finite and above -1", do="give 0.025 for 2.5 %")
    if not np.isfinite(ends).all() or (np.diff(ends, prepend=0.0) <= 0).any():
        raise InputError("the terms of a curve must be finite and rise from above 0")
    total = np.log1p(values) * ends
    forces = np.diff(total, prepend=0.0) / np.diff(ends, prepend=0.0)
    return Interest((0.0, *ends[:-1].tolist()), tuple(forces.tolist()))


def as_interest(interest: float | Interest) -> Interest:
    """Take a yearly effective rate, or interest as it is.

    Raises
    ------
    InputError
        For what is neither, a rate of −1 or less, and one above 1, which is no doubt in percent.

    Examples
    --------
    >>> float(as_interest(0.05).discount(2.0).round(6))
    0.907029
    """
    if isinstance(interest, Interest):
        return interest
    given: Any = interest
    if isinstance(given, bool) or not isinstance(given, int | float | np.floating):
        raise InputError(
            f"interest must be a yearly rate or a curve, not {type(given).__name__}",
            do="give 0.025, force_of_interest(0.05) or spot_curve([...])",
        )
    if not -1 < given <= 1:
        raise InputError(f"interest of {given} a year", do="give 0.025 for 2.5 %")
    return force_of_interest(float(np.log1p(given)))
