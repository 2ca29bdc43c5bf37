"""The loop, and what a training owns."""
