"""A spec in, a run folder out; exact resume."""
