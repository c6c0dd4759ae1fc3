"""Selection against effect: what a programme does to claims, beside who joins it."""
