"""Layers with weights that no network holds, for what reads names and numbers alone."""

import numpy as np


class Weight:
    def __init__(self, name, values):
        self.name, self.values = name, np.asarray(values, np.float32)

    def numpy(self):
        return self.values


class Layer:
    def __init__(self, name, *weights):
        self.name, self.weights = name, weights
