"""Persistency: who renews, what price changes do to it, and whether the healthy or the ill leave."""
