"""Text in; one spec, one folder or one table out."""
