"""What goes out: the frozen result, the figures' one style, and the two languages."""
