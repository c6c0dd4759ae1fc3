"""Which cause moved a figure by how much: parts that add up and know no order."""

from __future__ import annotations

from math import factorial, fsum

import numpy as np
import numpy.typing as npt

__all__ = ["shapley_values"]


def shapley_values(states: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give each cause its Shapley value: the mean of what its going changes, over all orders.

    Parameters
    ----------
    states : array of 2ⁿ values
        Value of state s, in which cause k has gone where bit k of s is set: the first value is
        before anything has gone, the last after everything has.

    Returns
    -------
    array of n values
        They add up to last less first, to rounding; a cause that moves nothing has nought.

    References
    ----------
    Shapley, L. S. (1953). A value for n-person games. Annals of Mathematics Studies 28, 307–317.

    Examples
    --------
    >>> shapley_values(np.array([100.0, 110.0, 120.0, 132.0])).tolist()  # ×1.1 and ×1.2
    [11.0, 21.0]
    """
    causes = states.size.bit_length() - 1
    state = np.arange(states.size)
    gone = np.bitwise_count(state).astype(int)
    weight = np.array([factorial(k) * factorial(causes - 1 - k) for k in range(causes)])
    weight = weight / factorial(causes)
    found = np.empty(causes)
    for k in range(causes):
        without = state[state >> k & 1 == 0]
        change = states[without | 1 << k] - states[without]
        found[k] = fsum(weight[gone[without]] * change)
    return found
