"""Experience: rows of any engine to cells that add, and what cells say at once."""
