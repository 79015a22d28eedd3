"""Find suites, models and corpora by name in the manifest files."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from memtrace.errors import ManifestError
from memtrace.manifests.documents import load_document
from memtrace.manifests.schema import CorpusManifest, ModelManifest, Suite

_PACKAGE = Path(__file__).parents[1]
# In a wheel the folder sits inside the package; in a checkout beside it.
_FOLDERS = (_PACKAGE / "data_manifests", _PACKAGE.parent / "data_manifests")
OWN = Path("memtrace.yaml")
"""A manifest of this name in the working directory is found by itself."""
T = TypeVar("T")


def load_suite(path: str | Path) -> Suite:
    """Read one manifest file.

    Raises:
        ManifestError: It cannot be read, is not YAML, or does not validate; the message names the
            file, the field and the problem.
    """
    return load_document(Path(path), Suite)


def load_suites(manifest: str | Path | None = None) -> list[Suite]:
    """Load the suites of all manifests that apply.

    They are those of memtrace, of the folder MEMTRACE_MANIFESTS, `memtrace.yaml` in the working
    directory, and one file more.

    Args:
        manifest: A manifest file of the user's own.

    Raises:
        ManifestError: A file does not validate, or two files describe a suite of the same name.
    """
    suites: dict[str, Suite] = {}
    for path in _manifest_files(manifest):
        suite = load_suite(path)
        if suites.setdefault(suite.suite, suite) is not suite:
            raise ManifestError(f"{path}: another manifest has a suite {suite.suite!r}: rename it")
    return list(suites.values())


def find_suite(name: str, *, manifest: str | Path | None = None) -> Suite:
    """Return the suite of that name.

    Raises:
        ManifestError: There is none; the message has names near it.
    """
    return _look_up("suite", name, [(s.suite, s, s) for s in load_suites(manifest)])[0]


def find_model(
    name: str, *, suite: str | None = None, manifest: str | Path | None = None
) -> tuple[Suite, ModelManifest]:
    """Return the model of that short name, or of that repository on the Hub, with its suite.

    Args:
        name: Such as `1.4b-deduped`, or `EleutherAI/pythia-1.4b-deduped`.
        suite: Look in this suite only.
        manifest: A manifest file of the user's own to look in besides.

    Raises:
        ManifestError: There is none (the message has names near it), or several suites have one.
    """
    suites = load_suites(manifest) if suite is None else [find_suite(suite, manifest=manifest)]
    models = [(m.name, s, m) for s in suites for m in s.models]
    on_hub = [(suite, model) for _, suite, model in models if model.hub == name]
    return on_hub[0] if len(on_hub) == 1 else _look_up("model", name, models)


def find_corpus(name: str, *, manifest: str | Path | None = None) -> tuple[Suite, CorpusManifest]:
    """Return the corpus of that name, with its suite.

    Raises:
        ManifestError: There is none (the message has names near it), or several suites have one.
    """
    suites = load_suites(manifest)
    return _look_up("corpus", name, [(c.name, s, c) for s in suites for c in s.corpora.values()])


def _manifest_files(manifest: str | Path | None) -> Iterable[Path]:
    """Return the manifest files that apply, each once."""
    folders = [folder for folder in _FOLDERS if folder.is_dir()][:1]
    if own := os.environ.get("MEMTRACE_MANIFESTS"):
        if not Path(own).is_dir():
            raise ManifestError(f"MEMTRACE_MANIFESTS is {own!r}, which is not a folder")
        folders.append(Path(own))
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
    files += [OWN] if OWN.is_file() else []
    return dict.fromkeys(
        Path(path).resolve() for path in [*files, *([manifest] if manifest else [])]
    )


def _look_up(kind: str, name: str, table: list[tuple[str, Suite, T]]) -> tuple[Suite, T]:
    """Return the one entry of that name in `(name, suite, entry)`, or say why there is none."""
    found = [(suite, entry) for other, suite, entry in table if other == name]
    if len(found) > 1:
        suites = " and ".join(suite.suite for suite, _ in found)
        raise ManifestError(f"{kind} {name!r} is in suites {suites}: name one with --suite")
    if not found:
        # A name on the Hub ends in suite and name: EleutherAI/pythia-1.4b means 1.4b.
        spellings = {f"{suite.suite}-{other}": other for other, suite, _ in table}
        spellings |= {other: other for other, *_ in table}
        close = get_close_matches(name.rpartition("/")[2].lower(), spellings)
        near = ", ".join(dict.fromkeys(spellings[spelling] for spelling in close))
        raise ManifestError(
            f"no manifest has a {kind} {name!r}{f' (near it: {near})' if near else ''}: "
            f"`memtrace {'corpus' if kind == 'corpus' else 'models'} list` shows what there is"
        )
    return found[0]
