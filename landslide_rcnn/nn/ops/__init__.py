"""Pure functions on `keras.ops`, each with a slow NumPy twin in the tests."""
