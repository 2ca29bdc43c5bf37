"""Python's door: score, prune, learn, train."""
