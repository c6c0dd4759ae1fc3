"""Care: long-term care from grade to benefit to fund."""
