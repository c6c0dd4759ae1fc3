"""Gaming: members who come to show a healthier group than their health is."""

from __future__ import annotations

from dataclasses import dataclass

from pricing.errors import InputError

__all__ = ["Gaming"]


@dataclass(frozen=True, kw_only=True)
class Gaming:
    """Members who come to show a healthier group than their health is: discount without claims effect.

    Parameters
    ----------
    share : float
        Share of the members that the top groups show in the end.
    top : int
        Number of top groups meant.
    years : int
        Years until it is reached, from the second year on.

    Examples
    --------
    >>> Gaming(share=0.7).top
    2
    """

    share: float
    top: int = 2
    years: int = 1

    def __post_init__(self) -> None:
        whole = [isinstance(v, int) and not isinstance(v, bool) for v in (self.top, self.years)]
        right = isinstance(self.share, int | float) and all(whole)
        if not right or not 0 <= self.share <= 1 or self.top < 1 or self.years < 1:
            raise InputError(
                f"gaming: share in 0 to 1, top and years whole numbers from 1, got {self.share!r}, {self.top!r}, {self.years!r}"
            )
