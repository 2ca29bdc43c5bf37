"""Splits, batches, augmentation, image files."""
