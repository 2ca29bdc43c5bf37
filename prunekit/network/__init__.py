"""What is a weight, and what the model does with it."""
