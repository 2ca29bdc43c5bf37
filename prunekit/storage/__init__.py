"""Files that survive a crash; nothing executes on load."""
