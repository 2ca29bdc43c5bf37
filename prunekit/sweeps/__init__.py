"""A study as one file: many runs, each found again."""
