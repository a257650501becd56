"""Data: sources, splits, the order of examples, and augmentation."""
