"""Tables, figures and comparisons of run folders."""
