"""Re-assessment: whom to visit next, what a visit is worth, what leaks."""
