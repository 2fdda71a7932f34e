"""Predictions and truth -> numbers."""
