"""A queue with many servers: who waits, how long, and how many must stand ready (Erlang).

Arrivals are Poisson with rate λ, handling times exponential with mean s, c servers, nobody gives up.
The offered load is A = λ·s. With A < c the queue settles; else it grows without end. Callers who
give up (Erlang A) are beyond this file: a standard met here is met with room where some give up.

Sources: Erlang (1917), Post Office Electrical Engineers' Journal 10; Cooper (1981), Introduction to
Queueing Theory, 2nd ed., sections 3.2 and 3.4; Jagerman (1974), Bell System Technical Journal 53.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import gamma

from pricing.errors import InputError
from pricing.regulation.check import is_number

__all__ = ["busy_rate", "erlang_b", "erlang_c", "mean_wait", "servers_needed", "wait_over"]

Floats = npt.NDArray[np.float64]
MOST_SERVERS = 1_000_000


def erlang_b(load: float | Sequence[float] | Floats, servers: int) -> Floats:
    """Probability that all servers are busy where nobody waits: Erlang's loss formula.

    Parameters
    ----------
    load : float or array of float
        Offered load A = arrivals × mean handling time, in servers (erlang), zero or more.
    servers : int
        c, zero or more.

    Returns
    -------
    array of float
        One probability per load.

    Notes
    -----
    B(0) = 1, B(k) = A·B(k−1)/(k + A·B(k−1)): positive terms only, so no rounding builds up and
    nothing overflows.

    Examples
    --------
    >>> erlang_b([10.0], 12).round(6).tolist()
    [0.119739]
    """
    a = _loads(load)
    blocked = np.ones_like(a)
    for k in range(1, _whole(servers, 0) + 1):  # a recursion: one step per server, over all loads
        blocked = a * blocked / (k + a * blocked)
    return blocked


def erlang_c(load: float | Sequence[float] | Floats, servers: int) -> Floats:
    """Probability of having to wait, where those who find all servers busy wait.

    C = c·B/(c − A(1 − B)).

    Parameters
    ----------
    load : float or array of float
        Offered load A, in servers, below ``servers``.
    servers : int
        c, at least 1.

    Raises
    ------
    InputError
        Where the load is not below the servers: the queue is unstable, there is no answer.

    Examples
    --------
    >>> erlang_c([10.0], 12).round(6).tolist()
    [0.449388]
    >>> erlang_c(3.0, 3)
    Traceback (most recent call last):
    pricing.errors.InputError: the queue is unstable: a load of 3 on 3 servers grows without end
      do: have at least 4 servers, or less work
    """
    a, c = _loads(load), _whole(servers, 1)
    _stable(a, c)
    blocked = erlang_b(a, c)
    return np.asarray(c * blocked / (c - a * (1 - blocked)))


def wait_over(
    load: float | Sequence[float] | Floats, servers: int, *, time: float, handling: float
) -> Floats:
    """Probability of waiting longer than a time: C·exp(−(c − A)·t/s).

    Parameters
    ----------
    load, servers
        As for :func:`erlang_c`.
    time : float
        t, zero or more, in the unit of ``handling``.
    handling : float
        s, mean handling time, above zero.

    Examples
    --------
    >>> wait_over([10.0], 12, time=5.0, handling=10.0).round(6).tolist()
    [0.165321]
    """
    t, s = _number("the time waited", time, least=0.0), _above("the handling time", handling)
    a = _loads(load)
    return np.asarray(erlang_c(a, servers) * np.exp(-(servers - a) * t / s))


def mean_wait(load: float | Sequence[float] | Floats, servers: int, *, handling: float) -> Floats:
    """Mean wait of all who come, those who do not wait among them: C·s/(c − A).

    Examples
    --------
    >>> mean_wait([2.0], 3, handling=9.0).round(6).tolist()
    [4.0]
    """
    a = _loads(load)
    return np.asarray(erlang_c(a, servers) * _above("the handling time", handling) / (servers - a))


def servers_needed(
    load: float | Sequence[float] | Floats, *, time: float, handling: float, share: float
) -> npt.NDArray[np.int64]:
    """Give the smallest number of servers that answers a share of callers within a time.

    Parameters
    ----------
    load : float or array of float
        Offered load A of each hour, in servers, zero or more; no load needs nobody.
    time, handling : float
        Response time promised, and mean handling time, in one unit.
    share : float
        Share answered within ``time``, above zero and below 1.

    Returns
    -------
    array of int
        Servers, per load.

    Raises
    ------
    InputError
        For a share of 1 (someone may always wait longer: no number of staff is certain), values
        outside their domain, or loads beyond a million servers.

    Notes
    -----
    C and the exponential both fall in c, so the first c > A that holds is the smallest.

    Examples
    --------
    >>> servers_needed([10.0, 0.0], time=30.0, handling=600.0, share=0.8).tolist()
    [14, 0]
    """
    a = _loads(load)
    t, s = _number("the response time", time, least=0.0), _above("the handling time", handling)
    if not is_number(share) or not 0 < share < 1:
        raise InputError(
            f"no number of staff answers a share of {share} within {time:g}: it must lie above 0 "
            "and below 1",
            do="promise 95% or 99%: with waiting times someone may always wait longer",
        )
    if a.size and a.max() >= MOST_SERVERS:
        raise InputError(f"a load of {a.max():,.0f} servers is beyond {MOST_SERVERS:,}")
    blocked, found, k = np.ones_like(a), np.where(a > 0, -1, 0).astype(np.int64), 0
    while (found < 0).any():  # one step per server, over all loads at once
        k += 1
        blocked = a * blocked / (k + a * blocked)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            over = k * blocked / (k - a * (1 - blocked)) * np.exp(-(k - a) * t / s)
        found[(found < 0) & (a < k) & (over <= 1 - share)] = k
    return found


def busy_rate(mean: float, *, cv: float, quantile: float) -> float:
    """Give the arrival rate of a busy day, where the rate itself varies from day to day.

    The rate is gamma with this mean and coefficient of variation (counts are then negative
    binomial: Jongbloed and Koole 2001, Applied Stochastic Models in Business and Industry 17).
    Waiting grows with the rate, so staff enough at the quantile keep the standard on exactly that
    share of days.

    Parameters
    ----------
    mean : float
        Mean arrivals, zero or more.
    cv : float
        Coefficient of variation of the rate; 0 for a rate that does not vary.
    quantile : float
        Share of days to be met, above zero and below 1; read only where ``cv`` is above zero.

    Examples
    --------
    >>> round(busy_rate(100.0, cv=0.2, quantile=0.9), 4)
    126.3342
    >>> busy_rate(100.0, cv=0.0, quantile=0.9)
    100.0
    """
    m = _number("the mean arrivals", mean, least=0.0)
    spread = _number("the coefficient of variation of arrivals", cv, least=0.0)
    if not is_number(quantile) or not 0 < quantile < 1:
        raise InputError(f"the share of days met must lie above 0 and below 1, got {quantile}")
    if not m or not spread:
        return m
    rate = float(gamma.ppf(quantile, 1 / spread**2, scale=m * spread**2))
    if not rate > 0:
        raise InputError(
            f"with a coefficient of variation of {spread:g} nobody calls on {quantile:.0%} of days",
            do="give the coefficient of variation of the day's rate, such as 0.15",
        )
    return rate


def _loads(load: Any) -> Floats:
    try:
        given = np.atleast_1d(np.array(load))
        if given.dtype.kind in "USb":
            raise TypeError("text, or yes and no")
        a = given.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"a load must be a number, got {load!r}") from error
    wrong = int((~(np.isfinite(a) & (a >= 0))).sum())
    if wrong:
        raise InputError(f"{wrong:,} of {a.size:,} loads are not finite or below zero")
    return a


def _stable(a: Floats, c: int) -> None:
    most = float(a.max()) if a.size else 0.0
    if most >= c:
        raise InputError(
            f"the queue is unstable: a load of {most:g} on {c:,} servers grows without end",
            do=f"have at least {int(np.floor(most)) + 1:,} servers, or less work",
        )


def _number(what: str, value: float, *, least: float) -> float:
    if not is_number(value) or value < least:
        raise InputError(f"{what} must be {least:g} or more, got {value!r}")
    return float(value)


def _above(what: str, value: float) -> float:
    if not is_number(value) or value <= 0:
        raise InputError(f"{what} must be above zero, got {value!r}")
    return float(value)


def _whole(value: int, least: int) -> int:
    if not is_number(value) or value != int(value) or not least <= value <= MOST_SERVERS:
        raise InputError(f"servers must be a whole number from {least}, got {value!r}")
    return int(value)
