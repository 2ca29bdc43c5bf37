"""Typed options, and the sections of a spec."""
