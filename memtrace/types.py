"""The types that all of memtrace shares: arrays and intervals."""

import math

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Interval = tuple[float, float]
UNDEFINED: Interval = (math.nan, math.nan)
