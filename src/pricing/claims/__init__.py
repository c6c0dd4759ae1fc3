"""Claims: what people claim, by rating factor."""
