"""The product team's page: drag a price or a limit and see what it does; nothing is computed here."""
