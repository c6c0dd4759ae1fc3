"""Choice: which plan people take, or none, and what that does to what the plan costs."""
