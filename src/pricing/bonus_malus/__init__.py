"""Bonus-malus: transition rules and latent risk, shares of the levels and what each is worth."""
