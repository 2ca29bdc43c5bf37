"""Random numbers by counter: words, coins, values."""
