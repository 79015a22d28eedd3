"""Read a YAML file that a user wrote, into plain values or into a validated model."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from memtrace.errors import ManifestError
from memtrace.manifests.schema import problems
from memtrace.storage.documents import read_document
from memtrace.storage.problems import read_problem

_MOST_BYTES = 1 << 22
D = TypeVar("D", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML in which an unquoted range such as `1:8` is text, not a number to base 60."""


_INTEGER = "tag:yaml.org,2002:int"
_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != _INTEGER]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INTEGER, re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)


def load_document(path: Path, model: type[D]) -> D:
    """Read a YAML file; its paths are relative to its folder.

    Raises:
        ManifestError: It cannot be read, is not YAML, or does not validate; the message names the
            file, the field and the problem.
    """
    try:
        document: Any = _Loader(read_document(path, _MOST_BYTES)).get_single_data()
        return model.model_validate(document, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise ManifestError(f"{path}: {problems(error)}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, OSError):
            raise ManifestError(read_problem(path, error)) from None
        problem = " ".join(str(error).split())
        raise ManifestError(f"{path}: cannot be read as YAML: {problem}") from None
