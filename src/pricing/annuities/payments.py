"""What is paid: while in a state, at a time if in a state, on a move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pricing.annuities.state_model import Rate, StateModel
from pricing.errors import InputError

__all__ = ["AtTime", "OnMove", "Payment", "WhileIn", "hold_payments", "worth"]


@dataclass(frozen=True)
class WhileIn:
    """Paid continuously while in a state.

    Attributes
    ----------
    state : str
        Where it is paid.
    rate : float or callable
        Currency per year: a number, or a smooth function of time since the start in years.
    start, end : float
        Years since the start between which it is paid; the term's end where ``end`` is infinite.
    waiting : float
        Years a stay in the state must have lasted before it is paid (elimination period), anew for
        each stay.

    Examples
    --------
    >>> WhileIn("sick", 20_000.0, waiting=0.5).end
    inf
    """

    state: str
    rate: Rate
    start: float = 0.0
    end: float = np.inf
    waiting: float = 0.0


@dataclass(frozen=True)
class AtTime:
    """Paid at set times to who is in a state then: a survival benefit, a yearly premium.

    Attributes
    ----------
    state : str
        Who is paid.
    amount : float or callable
        Currency: a number or a function of time.
    times : tuple of float
        Years since the start, within the term, its ends included.

    Examples
    --------
    >>> AtTime("healthy", 1.0, times=tuple(range(10))).times[-1]
    9
    """

    state: str
    amount: Rate
    times: tuple[float, ...]


@dataclass(frozen=True)
class OnMove:
    """Paid at once on a move from one state to another.

    Attributes
    ----------
    origin, destination : str
        The move.
    amount : float or callable
        Currency: a number, or a smooth function of time since the start in years.
    start, end : float
        Years since the start between which it is paid.

    Examples
    --------
    >>> OnMove("healthy", "dead", 50_000.0).start
    0.0
    """

    origin: str
    destination: str
    amount: Rate
    start: float = 0.0
    end: float = np.inf


Payment = WhileIn | AtTime | OnMove


def worth(amount: Rate, time: float) -> float:
    """Amount, or rate of payment, at a time.

    Examples
    --------
    >>> worth(2.0, 1.0), worth(lambda t: 1.03**t, 1.0)
    (2.0, 1.03)
    """
    found = float(amount(time)) if callable(amount) else float(amount)
    if not np.isfinite(found):
        raise InputError(f"an amount is {found} at {time:g} years", do="give finite amounts")
    return found


def hold_payments(
    model: StateModel, payments: Iterable[Payment], years: float
) -> Sequence[Payment]:
    """Hold payments against a state graph and a term; all faults are said at once.

    Examples
    --------
    >>> from pricing.annuities.state_model import state_model
    >>> model = state_model({("alive", "dead"): 0.1})
    >>> len(hold_payments(model, [WhileIn("alive", 1.0)], 10.0))
    1
    """
    given: list[Any] = list(payments)
    faults: list[str] = []
    for n, payment in enumerate(given, 1):
        if not isinstance(payment, WhileIn | AtTime | OnMove):
            faults.append(f"payment {n} is a {type(payment).__name__}")
            continue
        faults += [f"payment {n}: {fault}" for fault in _faults(model, payment, years)]
    if faults:
        raise InputError("payments that cannot be valued", faults=faults)
    return given


def _faults(model: StateModel, payment: Payment, years: float) -> list[str]:
    named = (
        [payment.origin, payment.destination] if isinstance(payment, OnMove) else [payment.state]
    )
    faults = [f"no state {name!r}; there are: {', '.join(model.states)}" for name in named
              if name not in model.states]  # fmt: skip
    if isinstance(payment, OnMove) and payment.origin == payment.destination:
        faults.append(f"a move from {payment.origin} to itself")
    elif (
        isinstance(payment, OnMove)
        and not faults
        and (payment.origin, payment.destination) not in model.moves
    ):
        faults.append(f"nobody moves from {payment.origin} to {payment.destination}")
    amount: Rate | Callable[[float], float] = (
        payment.rate if isinstance(payment, WhileIn) else payment.amount
    )
    if not callable(amount) and not np.isfinite(amount):
        faults.append(f"an amount of {amount}")
    if isinstance(payment, AtTime):
        wrong = [time for time in payment.times if not 0 <= time <= years]
        if wrong or not payment.times:
            faults.append(f"times outside the term of {years:g} years: {wrong[:3] or 'none given'}")
        if len(set(payment.times)) < len(payment.times):
            faults.append("a time is given twice")
    elif not 0 <= payment.start < min(payment.end, years):
        faults.append(
            f"paid from {payment.start:g} to {payment.end:g} in a term of {years:g} years: nothing"
        )
    if isinstance(payment, WhileIn) and not 0 <= payment.waiting < np.inf:
        faults.append(f"a waiting period of {payment.waiting} years")
    return faults
