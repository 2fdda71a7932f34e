"""The errors that this package raises on purpose.

Every message says the rule, what was received, and the fix, in one line, so that a command can
print it as it is. Each class is also the built-in that fits, so that `except ValueError` works.
"""


class LandslideError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(LandslideError, ValueError):
    """A `Config` attribute, or a value given for one, cannot work."""


class ShapeError(LandslideError, ValueError):
    """An array's shape is not the one that a function needs."""


class GeoReferenceError(LandslideError, ValueError):
    """A CRS or a transform is missing, or two of them do not fit together."""


class RasterError(LandslideError, OSError):
    """A raster or a vector file cannot be read or written."""


class DatasetError(LandslideError, ValueError):
    """Training data is missing, unreadable or inconsistent."""


class WeightsError(LandslideError, ValueError):
    """A weight file or its card is missing, unreadable, or does not fit the network."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """There is no checkpoint where one was looked for."""


class RegistryError(LandslideError, KeyError):
    """A name is not in one of the tables of variants; the message lists the names that are."""

    def __str__(self) -> str:
        # KeyError shows its message in quotes; a sentence reads better without.
        return str(self.args[0]) if self.args else ""
