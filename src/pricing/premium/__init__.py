"""Premium: written, earned, unearned, and at current level."""
