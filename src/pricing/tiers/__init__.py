"""Tiers: what each level of an elder medical plan costs, should cost and may come to."""
