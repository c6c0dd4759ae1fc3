"""Losses: how large claims get, and what a year of them comes to."""
