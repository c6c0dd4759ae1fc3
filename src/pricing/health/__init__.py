"""Health value: what a health group's claims say, and the discount they can pay for."""
