"""How the reference cases of constructions are checked; the cases give properties."""
CONSTRUCTIONS = {}
