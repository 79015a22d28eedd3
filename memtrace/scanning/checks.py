"""What is refused before anything is scanned: models that do not fit, or are mislabelled."""

import warnings
from pathlib import Path

from memtrace.corpus import Corpus
from memtrace.engine import Rules
from memtrace.errors import CorpusError, DataWarning, ManifestError, ModelError, RunError
from memtrace.models.limits import read_limits
from memtrace.models.shape import read_shape
from memtrace.runs.configuration import Configuration
from memtrace.runs.paths import run_folders
from memtrace.runs.run import open_run
from memtrace.scanning.checkpoints import Checkpoint
from memtrace.types import Int64Array

CHECKED_SEQUENCES = 64
"""Sequences whose token ids are compared with the model's vocabulary before a run begins."""


def check_fit(corpus: Corpus, rules: Rules, rows: Int64Array, model: Path) -> None:
    """Refuse a corpus and a model that do not fit each other.

    Args:
        corpus: Where sequences are read from.
        rules: How long a sequence is.
        rows: Rows whose token ids are compared, unless that needs a network.
        model: Folder of the model; one that is not on this machine sets no limits.

    Raises:
        CorpusError: The rows are too short, or have token ids that the model does not know.
        ModelError: The model reads fewer tokens at once, or its configuration cannot be read.
    """
    tokens = rules.sequence_tokens
    corpus.check_tokens(tokens, rules.offset)
    limits = read_limits(model)
    limits.check_length(tokens)
    if limits.vocabulary is None or corpus.remote or not len(rows):
        return
    largest = int(corpus.take(rows, tokens, rules.offset).max())
    if largest >= limits.vocabulary:
        raise CorpusError(
            f"token id {largest} is outside the model's vocabulary of {limits.vocabulary}: corpus "
            f"{corpus.name} was tokenized for another model"
        )


def check_shape(checkpoint: Checkpoint) -> None:
    """Refuse a manifest that contradicts a checkpoint on this machine.

    Raises:
        ManifestError: Layers, width, heads, vocabulary or parameters are not the checkpoint's.
        ModelError: Its configuration cannot be read.
    """
    folder = Path(checkpoint.source)
    if checkpoint.manifest is None or not (folder / "config.json").is_file():
        return
    suite, model = checkpoint.manifest
    if wrong := read_shape(folder).contradictions(model):
        raise ManifestError(
            f"the manifest of suite {suite.suite} gives model {model.name} {', '.join(wrong)}: "
            f"correct it, or its path ({folder})"
        )


def refuse_known_bad(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint of which the manifest says that its weights are another's.

    Raises:
        ModelError: It is one.
    """
    bad = checkpoint.manifest and checkpoint.manifest[1].known_bad_reason(checkpoint.step)
    if bad:
        link = f" ({bad.url})" if bad.url else ""
        raise ModelError(
            f"{checkpoint.model} step {checkpoint.step} is known to be wrong: {bad.reason}{link}; "
            "choose another step, or pass --allow-known-bad"
        )


def refuse_identical_weights(runs: Path, configuration: Configuration) -> None:
    """Refuse weights that another step's run in the same folder had; steps 0 and 1 may be equal.

    A run whose record cannot be read is passed over, with a warning.

    Raises:
        ModelError: Two steps have the same weights, so one of them is mislabelled.
    """
    c = configuration
    for folder in run_folders(runs, c.suite, c.model):
        try:
            other = open_run(folder).configuration
        except RunError as error:
            warnings.warn(str(error), DataWarning, stacklevel=2)
            continue
        if other.weight_digest != c.weight_digest or other.step == c.step:
            continue
        # A learning-rate warm-up from 0 leaves the first update without effect.
        if {other.step, c.step} != {0, 1}:
            raise ModelError(
                f"the weights of {c.model} step {c.step} are byte-identical to those of step "
                f"{other.step}: one of them is mislabelled; check both, or pass --allow-known-bad"
            )
