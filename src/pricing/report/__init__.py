"""Reports that managers read; nothing is computed here."""
