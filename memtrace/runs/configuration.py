"""What fixes the result of a run: model, weights, corpus, which sequences, and the rules."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from memtrace.errors import RunError
from memtrace.manifests.schedule import SequencesPerStep
from memtrace.runs.sampling import Sample
from memtrace.runs.scores import SCHEMA_VERSION

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MOST_SHARDS = 1_000_000
"""Score files in a run: more of them no folder bears."""


@dataclass(frozen=True)
class Configuration:
    """What fixes the result of a run; a run may only be continued with the same one."""

    suite: str
    """Suite of the model; `local` for a model that no manifest names."""
    model: str
    """Short name of the model."""
    step: int
    """Checkpoint: optimizer steps done."""
    start: int
    """First sequence index of the run."""
    stop: int
    """One past the last sequence index of the run."""
    exposed_rows: int
    """Rows [0, exposed_rows) of the corpus were seen by this checkpoint."""
    corpus_rows: int
    """Rows of the whole corpus."""
    sequences_per_step: SequencesPerStep | None
    """Rows that one optimizer step consumes; pairs (from step, rows) where that changes along the
    run; None where nothing tells."""
    shard_size: int
    """Sequences in a shard; shards begin at multiples of it."""
    prompt_tokens: int
    """Tokens that the model is given, k."""
    continuation_tokens: int
    """Tokens after them that it has to return, l."""
    eos_rule: str
    """`none` or `mask-eos`."""
    dtype: str
    """Type in which most decisions are made; the result is that of float32 in any case."""
    weight_digest: str
    """sha256 over the names and digests of the weight files."""
    corpus_digest: str
    """sha256 over the layout and contents of the corpus, see `Corpus.digest`."""
    sample_size: int | None = None
    """Sequences drawn at random from [start, stop); None: all of them are scanned."""
    sample_seed: int | None = None
    stratum_rows: int | None = None
    """Rows in a stratum of the sample; None: a simple random one."""
    likelihood: bool = False
    """Whether the score table has the log-likelihood of each continuation."""
    temperature: float = 1.0
    """By which logits are divided before the softmax."""
    top_k: int | None = None
    """Tokens that can be drawn at each place, those with the largest logits; None: all."""
    min_probability: float | None = None
    """Likelihoods below it are null; None: none are."""
    offset: int = 0
    """Tokens of a row before its sequence."""

    def __post_init__(self) -> None:
        """Check that the numbers make a plan of shards."""
        ranges = 0 <= self.start <= self.stop <= self.corpus_rows < 2**63
        sizes = [self.shard_size, self.sample_size, self.stratum_rows]
        too_small = any(size is not None and size < 1 for size in sizes)
        if self.prompt_tokens < 1 or self.continuation_tokens < 1 or self.offset < 0:
            raise RunError(
                f"prompt_tokens {self.prompt_tokens}, continuation_tokens "
                f"{self.continuation_tokens}, offset {self.offset}: these make no sequence"
            )
        if not ranges or too_small or (self.sample_seed or 0) < 0:
            raise RunError(
                f"sequences {self.start}:{self.stop} of {self.corpus_rows}, shard size "
                f"{self.shard_size}, sample {self.sample_size}: these make no plan of shards"
            )
        if (count := (self.stop - self.start) // self.shard_size) > MOST_SHARDS:
            raise RunError(
                f"{count:,} score files, for shards of {self.shard_size} sequences: at most "
                f"{MOST_SHARDS:,}; choose a larger --shard-size"
            )

    @property
    def sample(self) -> Sample | None:
        """Return the sampling design, None where every sequence is scanned."""
        if self.sample_size is None:
            return None
        return Sample(self.sample_size, self.sample_seed or 0, self.stratum_rows)

    @property
    def sequences(self) -> int:
        """Return how many sequences are scanned."""
        return self.stop - self.start if self.sample_size is None else self.sample_size

    @property
    def part(self) -> str:
        """Return what part of the sequences is scanned, a clause; empty where nothing is left out.

        Rows that the checkpoint had not seen may be left out without a word.
        """
        if self.sample is not None:
            of = self.stop - self.start
            return f"a random sample was scanned, {self.sequences:,} of {of:,} sequences"
        if self.start or self.stop < self.exposed_rows:
            last = max(self.stop - 1, self.start)
            return f"sequences {self.start:,} to {last:,} of {self.corpus_rows:,} were scanned"
        return ""

    @property
    def sequence_tokens(self) -> int:
        """Return the tokens of a sequence: prompt and continuation."""
        return self.prompt_tokens + self.continuation_tokens

    @property
    def tested(self) -> str:
        """Return which tokens were tested, as `describe_tokens` says it."""
        return describe_tokens(self.prompt_tokens, self.continuation_tokens, self.offset)

    def in_order(self, sequences_per_step: int) -> "Configuration":
        """Return it with what is said of an order of training that it does not know.

        Raises:
            RunError: It knows it, or the step has seen nothing.
        """
        label = f"{self.suite}/{self.model} step {self.step}"
        if self.sequences_per_step is not None:
            raise RunError(
                f"{label}: its steps consume {self.sequences_per_step} rows; leave out "
                "--sequences-per-step"
            )
        if not self.step:
            raise RunError(
                f"{label} had seen no row at step 0: scan with the checkpoint's --step and "
                "--sequences-per-step"
            )
        exposed = min(sequences_per_step * self.step, self.corpus_rows)
        return replace(self, sequences_per_step=sequences_per_step, exposed_rows=exposed)

    def metadata(self) -> dict[str, str]:
        """Return what every score file says of itself."""
        names = (
            "suite model step prompt_tokens continuation_tokens eos_rule dtype "
            "weight_digest corpus_digest"
        )
        if self.sample_size is not None:
            names += " sample_size sample_seed stratum_rows"
        if self.likelihood:
            names += " likelihood temperature top_k min_probability"
        if self.offset:
            names += " offset"
        values = {name: str(getattr(self, name)) for name in names.split()}
        if self.min_probability is not None:
            values["null_log_likelihood_below"] = str(math.log(self.min_probability))
        return {
            "schema_version": SCHEMA_VERSION,
            "memtrace_version": version("memtrace-llm"),
            **values,
        }

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return `name: theirs -> ours` for each field in which a recorded one differs."""
        ours = json.loads(json.dumps(asdict(self)))  # a tuple is a list in the record
        return [
            f"{name}: {other.get(name)} -> {ours.get(name)}"
            for name in sorted(ours.keys() | other.keys())
            if ours.get(name) != other.get(name)
        ]


def describe_tokens(prompt_tokens: int, continuation_tokens: int, offset: int) -> str:
    """Say which tokens of each row are a sequence.

    Returns:
        For example `prompt tokens 0 to 31, continuation tokens 32 to 63 of each row`.
    """
    first = offset + prompt_tokens
    spans = (offset, first - 1), (first, first + continuation_tokens - 1)
    prompt, continuation = (f"tokens {a} to {b}" if a < b else f"token {a}" for a, b in spans)
    return f"prompt {prompt}, continuation {continuation} of each row"


def read_configuration(recorded: Any) -> Configuration:
    """Return a configuration as a run record has it, every value of its type and none too many.

    Raises:
        ValueError: It is no configuration; the message is one line.
    """
    try:
        Configuration(**recorded)  # every key is known, which pydantic does not ask
        # As JSON: only so may a dictionary stand for a dataclass where types are strict.
        return _validator().validate_json(json.dumps(recorded), strict=True)
    except (TypeError, ValueError, RunError) as error:
        raise ValueError(" ".join(str(error).split())) from error


@cache  # it costs a millisecond, and a folder has thousands of runs
def _validator() -> "TypeAdapter[Configuration]":
    from pydantic import TypeAdapter

    return TypeAdapter(Configuration)
