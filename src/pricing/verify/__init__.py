"""Published figures that this package reproduces; nothing is computed here but by the package."""
