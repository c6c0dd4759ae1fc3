"""The first looks, by one name: one-way, two-way, actual-to-expected."""

from __future__ import annotations

from pricing.experience.expected import ActualToExpected, actual_to_expected
from pricing.experience.one_way import OneWay, one_way
from pricing.experience.ratio import By, Interval
from pricing.experience.two_way import TwoWay, two_way

__all__ = [
    "ActualToExpected",
    "By",
    "Interval",
    "OneWay",
    "TwoWay",
    "actual_to_expected",
    "one_way",
    "two_way",
]
