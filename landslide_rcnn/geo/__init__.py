"""Files to arrays and back: the only room that opens rasters and vectors."""
