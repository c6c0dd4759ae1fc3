"""Loss ratio: premium at current level, trend, indicated rate change, monitoring."""
