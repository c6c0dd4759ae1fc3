"""Mutual aid: rules, periods settled, who bears what, whether membership lasts."""
