"""JSON documents that every parser reads: no NaN, no infinity, no types of NumPy."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np


def json_safe(value: Any) -> Any:
    """Turn NaN and infinities into None, and arrays, tuples and NumPy's numbers into plain values.

    A sequence of which every item is undefined becomes None: an interval without a finite end says
    nothing.
    """
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, list | tuple):
        items = [json_safe(item) for item in value]
        return None if items and all(item is None for item in items) else items
    if isinstance(value, np.generic):
        return json_safe(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def json_text(document: Any) -> str:
    """Return the document as indented text.

    Raises:
        ValueError: A number is NaN or infinite; pass the document through `json_safe` first.
    """
    return json.dumps(document, indent=2, allow_nan=False)


def write_json(path: Path, document: Any) -> None:
    """Write the document, made safe by `json_safe`, to a file.

    Raises:
        OSError: The file cannot be written.
    """
    path.write_text(json_text(document) + "\n", encoding="utf-8")
