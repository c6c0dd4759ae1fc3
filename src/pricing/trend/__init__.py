"""Trend: how frequency, severity and loss ratio move a year, with the error of it."""
