"""Validation: whether predictions hold, all from cells: lift, Gini, calibration, out of sample."""
