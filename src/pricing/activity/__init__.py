"""Activity: what devices measured, made daily features, without raw samples or names."""
