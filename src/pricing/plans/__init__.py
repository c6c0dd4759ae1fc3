"""Plan studies: one file per plan, its scenarios side by side."""
