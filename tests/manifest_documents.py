"""Small manifests for tests, as YAML gives them and as files."""

from pathlib import Path
from typing import Any

import yaml

from memtrace.errors import ManifestError
from memtrace.manifests import load_suite


def document(**changes: Any) -> dict[str, Any]:
    """Return a small valid manifest, as YAML gives it, with top-level changes."""
    corpus = {"path": "c", "files": "c.bin", "row_tokens": 65, "dtype": "uint16", "rows": 640}
    return {
        "schema": 1,
        "suite": "toy",
        "title": "A toy",
        "sequences_per_step": 64,
        "steps": [0, "2:8:2", 10],
        "corpora": {"text": corpus},
        "models": [model()],
        **changes,
    }


def model(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "path": "w/step{step}",
        "corpus": "text",
        "architecture": "gpt-neox",
        "layers": 2,
        "width": 8,
        "heads": 2,
        "vocab_size": 16,
        "parameters": 100,
        "dtype": "float32",
        **changes,
    }


def refusal(folder: Path, content: Any) -> str | None:
    """Return the message with which a manifest is refused, or None where it loads."""
    try:
        load_suite(write(folder, content))
    except ManifestError as error:
        return str(error)
    return None


def write(folder: Path, content: Any, name: str = "toy.yaml") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path
