"""What a scan of one checkpoint is: names resolved, files found, everything checked, nothing begun.

No model is loaded, and nothing is written.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memtrace.corpus import Corpus, open_corpus, open_named
from memtrace.engine import EOS_RULES, Distribution, Rules
from memtrace.errors import CorpusError, RunError
from memtrace.manifests.schedule import SequencesPerStep, largest_step, rows_before
from memtrace.models.weights import Weights
from memtrace.runs.configuration import Configuration
from memtrace.runs.paths import run_folder
from memtrace.runs.sampling import Sample, stratify
from memtrace.runs.shards import Shard, plan_shards
from memtrace.scanning.checkpoints import Checkpoint, place_run
from memtrace.scanning.checks import CHECKED_SEQUENCES, check_fit, check_shape, refuse_known_bad
from memtrace.types import Int64Array

logger = logging.getLogger(__name__)
SHARD_SIZE = 131_072
"""Default sequences in a shard: 128 steps of Pythia."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
"""Types in which decisions can be made first."""


@dataclass(frozen=True)
class ScanPlan:
    """What a scan of one checkpoint will do; nothing is downloaded or written yet."""

    checkpoint: Checkpoint
    corpus: Corpus
    runs: Path
    """Folder of runs."""
    start: int
    """First sequence index."""
    stop: int
    """One past the last sequence index."""
    exposed_rows: int
    sequences_per_step: SequencesPerStep | None
    shard_size: int
    rules: Rules
    dtype: str
    """One of `DTYPES`; recorded as given: machines may resolve `auto` differently."""
    allow_known_bad: bool
    sample: Sample | None
    """None: every sequence is scanned."""

    @property
    def sequences(self) -> int:
        """Return how many sequences the run has in all."""
        return self.stop - self.start if self.sample is None else self.sample.n

    @property
    def folder(self) -> Path:
        """Return the run folder."""
        c = self.checkpoint
        return run_folder(self.runs, c.suite, c.model, c.step)

    def shards(self) -> list[Shard]:
        """Return the shards of the run."""
        return plan_shards(self.start, self.stop, self.shard_size, self.sample)

    def spread(self, count: int) -> Int64Array:
        """Return at most `count` sequence indices of the run, evenly spaced over it.

        They depend neither on the shards nor on which of them are left.
        """
        ranks = np.linspace(0, self.sequences - 1, min(count, self.sequences)).astype(np.int64)
        if self.sample is None:
            return self.start + ranks
        return self.sample.rows(self.start, self.stop)[ranks]

    def configure(self, weights: Weights) -> Configuration:
        """Return what determines the scores of the run, once the weights are known."""
        return Configuration(
            suite=self.checkpoint.suite,
            model=self.checkpoint.model,
            step=self.checkpoint.step,
            start=self.start,
            stop=self.stop,
            exposed_rows=self.exposed_rows,
            corpus_rows=len(self.corpus),
            sequences_per_step=self.sequences_per_step,
            shard_size=self.shard_size,
            prompt_tokens=self.rules.prompt_tokens,
            continuation_tokens=self.rules.continuation_tokens,
            eos_rule=self.rules.eos_rule,
            offset=self.rules.offset,
            dtype=self.dtype,
            weight_digest=weights.digest,
            corpus_digest=self.corpus.digest,
            sample_size=self.sample.n if self.sample else None,
            sample_seed=self.sample.seed if self.sample else None,
            stratum_rows=self.sample.stratum_rows if self.sample else None,
            **self._likelihood(),
        )

    def _likelihood(self) -> dict[str, Any]:
        """Return what a configuration says of likelihoods."""
        found = self.rules.distribution
        return {"likelihood": True, **asdict(found)} if found else {}

    def minimum_flops(self) -> int | None:
        """Return the fewest operations that decide every sequence, None where unknown."""
        if self.checkpoint.manifest is None:
            return None
        model = self.checkpoint.manifest[1]
        return self.sequences * model.minimum_flops(self.rules.prompt_tokens)


def plan_scan(
    checkpoint: Checkpoint,
    *,
    corpus: str | None,
    runs: Path,
    sequences: tuple[int, int] | None = None,
    sample: int | None = None,
    seed: int = 0,
    stratified: bool = False,
    include_unexposed: bool = False,
    prompt_tokens: int = 32,
    continuation_tokens: int = 32,
    offset: int = 0,
    dtype: str = "auto",
    eos_rule: str = "none",
    shard_size: int = SHARD_SIZE,
    likelihood: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    min_probability: float | None = None,
    allow_known_bad: bool = False,
    sequences_per_step: int | None = None,
    run: str | None = None,
    manifest: str | Path | None = None,
    opened: Corpus | None = None,
) -> ScanPlan:
    """Find and check everything that the scan needs, without fetching the model; see `scan`.

    `opened` is the corpus, where another step of the same model has opened it before.

    Raises:
        ManifestError, CorpusError, ModelError: Something named is missing or does not fit.
        RunError: An option has a value that a scan does not know.
        MemtraceError: A length of a sequence makes no sense.
    """
    if dtype not in DTYPES or eos_rule not in EOS_RULES or shard_size < 1:
        raise RunError(
            f"dtype {dtype!r}, EOS rule {eos_rule!r}, shard size {shard_size}: expected one of "
            f"{', '.join(DTYPES)}; one of {', '.join(EOS_RULES)}; at least 1"
        )
    distribution = _distribution(likelihood, temperature, top_k, min_probability)
    rows = opened or _open_corpus(checkpoint, corpus, manifest)
    if opened is None:
        files = ", ".join(part.name for part in rows.parts[:3])
        logger.debug("corpus %s: %s rows, from %s", rows.name, f"{len(rows):,}", files)
    checkpoint = place_run(checkpoint, rows, run, manifest)
    exposed, per_step = _exposure(checkpoint, rows, sequences_per_step)
    if not exposed and checkpoint.manifest is None and not include_unexposed:
        raise CorpusError(
            f"step {checkpoint.step} of {checkpoint.model} has seen no row of corpus {rows.name}: "
            "give the checkpoint's --step, or add --include-unexposed"
        )
    start, stop = _selection(sequences, exposed, len(rows), include_unexposed)
    if not allow_known_bad:
        refuse_known_bad(checkpoint)
    plan = ScanPlan(
        checkpoint=checkpoint,
        corpus=rows,
        runs=runs,
        start=start,
        stop=stop,
        exposed_rows=exposed,
        sequences_per_step=per_step,
        shard_size=shard_size,
        rules=Rules(prompt_tokens, continuation_tokens, eos_rule, distribution, offset),
        dtype=dtype,
        allow_known_bad=allow_known_bad,
        sample=_design(sample, seed, stratified, stop - start, per_step),
    )
    _ = plan.folder  # a name that is no folder's
    check_shape(checkpoint)
    check_fit(rows, plan.rules, plan.spread(CHECKED_SEQUENCES), Path(checkpoint.source))
    return plan


def _distribution(
    likelihood: bool, temperature: float, top_k: int | None, min_probability: float | None
) -> Distribution | None:
    """Return what likelihoods are of; None where none are wanted.

    Raises:
        RunError: Options of likelihoods are given, and none are wanted.
        MemtraceError: A value outside its range.
    """
    wanted = Distribution(temperature, top_k, min_probability)
    if not likelihood and wanted != Distribution():
        raise RunError(
            "--temperature, --top-k and --min-probability are those of likelihoods, which were not "
            "asked for: add --likelihood"
        )
    return wanted if likelihood else None


def _open_corpus(checkpoint: Checkpoint, corpus: str | None, manifest: str | Path | None) -> Corpus:
    if checkpoint.manifest is None:
        if corpus is None:
            raise CorpusError(f"no manifest names the corpus of {checkpoint.source}: give --corpus")
        return open_corpus(corpus, manifest=manifest)
    suite, model = checkpoint.manifest
    own = suite.corpora[model.corpus] if model.corpus else None
    if corpus is not None:
        return open_corpus(corpus, manifest=manifest, expected=own)
    if own is None:
        raise CorpusError(f"no corpus in the training order of {model.name}: {model.corpus_note}")
    return open_named(own)


def _exposure(
    checkpoint: Checkpoint, corpus: Corpus, given: int | None
) -> tuple[int, SequencesPerStep | None]:
    """Return how many rows the checkpoint has seen, and how many a step consumes.

    Where nothing tells how many, it is not known what the checkpoint has seen: all rows are
    scanned, and none counts as trained on.
    """
    manifest = checkpoint.manifest
    said = {
        "corpus file": corpus.sequences_per_step,
        "manifest": manifest[0].sequences_per_step if manifest else None,
        "--sequences-per-step": given,
    }
    told = {name: value for name, value in said.items() if value is not None}
    if len(set(told.values())) > 1:
        listed = ", ".join(f"{name} {value}" for name, value in told.items())
        raise CorpusError(f"rows that a step consumes: {listed}; correct those that are wrong")
    if not told:
        return len(corpus), None
    per_step = next(iter(told.values()))
    return min(rows_before(per_step, checkpoint.step), len(corpus)), per_step


def _selection(
    sequences: tuple[int, int] | None, exposed: int, rows: int, include_unexposed: bool
) -> tuple[int, int]:
    """Return the range of sequence indices to scan."""
    limit = rows if include_unexposed else exposed
    if sequences is None:
        return 0, limit
    start, stop = sequences
    if not 0 <= start < stop <= rows:
        raise CorpusError(
            f"sequences {start}:{stop} are not a range within the corpus: choose A:B in 0:{rows}"
        )
    if start >= limit > 0:
        raise CorpusError(
            f"sequences {start}:{stop} were not yet seen by this checkpoint, which has seen "
            f"0:{limit}: choose others, or add --include-unexposed"
        )
    return min(start, limit), min(stop, limit)


def _design(
    n: int | None,
    seed: int,
    stratified: bool,
    population: int,
    sequences_per_step: SequencesPerStep | None,
) -> Sample | None:
    """Return the sampling design; a sample of everything, or more, is refused when it is drawn."""
    if n is None or not population:
        return None
    if not stratified:
        return Sample(n, seed)
    if sequences_per_step is None:
        raise RunError(
            "a sample is stratified by step, and it is not known which step consumes a row: "
            "give --sequences-per-step, or a manifest (memtrace models init)"
        )
    return stratify(n, seed, population, largest_step(sequences_per_step))
