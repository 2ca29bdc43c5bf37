"""How many weights are kept, and which."""
