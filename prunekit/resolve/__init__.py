"""Plugins found, the spec filled, nonsense refused."""
