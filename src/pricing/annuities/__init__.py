"""Values: what benefits by state are worth, from any life table or state graph."""
