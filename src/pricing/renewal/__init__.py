"""Renewal: what every policy pays next year, step by step, and a ledger that adds up."""
