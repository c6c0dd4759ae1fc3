"""Services: what they cost per insured, who must stand ready, what they change."""
