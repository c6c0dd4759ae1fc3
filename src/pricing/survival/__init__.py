"""Survival: how long cover, health or membership lasts, from cells of lives."""
