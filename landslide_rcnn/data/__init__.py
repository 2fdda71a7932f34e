"""Arrays to samples to batches: datasets, tiles, augmentation, generated scenes."""
