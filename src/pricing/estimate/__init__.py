"""Estimates from cells: fits equal to those on rows, credibility, graduation."""
