"""Regulation: rules as dated data, each check with its numbers and its article."""
