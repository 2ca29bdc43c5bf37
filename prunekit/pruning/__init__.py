"""Scores become masks, round by round."""
