"""What `memtrace scan` prints: documents for `--json`, tables and sentences for people."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .console import estimate_text

if TYPE_CHECKING:
    from memtrace.corpus import Corpus
    from memtrace.runs.memorized import Events
    from memtrace.runs.run import Run
    from memtrace.scanning.downloads import DiskNeed
    from memtrace.scanning.plan import ScanPlan

_ORDER_UNKNOWN = (
    "Training order unknown: the rows count as scanned, none as trained on, and --step is a label. "
    "To ask when in training, give --sequences-per-step, or a manifest (memtrace models init)."
)
H100_FLOPS = 400e12
"""Floating-point operations a second that an H100 sustains in half precision."""


def run_document(run: "Run", corpus: "Corpus") -> dict[str, Any]:
    """Return what a finished scan counts, and how it was done."""
    from memtrace.runs.estimate import estimate_run
    from memtrace.runs.events import read_events

    events = read_events(run)
    estimate = estimate_run(run, events)
    return {
        "suite": run.suite,
        "model": run.model,
        "step": run.step,
        "run": str(run.folder),
        "training_order": "known" if run.is_order_known else "unknown",
        "tested": run.configuration.tested,
        **events.count(run.exposed_rows),
        **_control(run, events, corpus),
        "likelihood": _likelihood(run),
        "estimate": asdict(estimate) if estimate else None,
        "workers": run.record.get("workers", []),
    }


def _likelihood(run: "Run") -> dict[str, Any] | None:
    """Return what the log-likelihoods of a run are, None where it has none."""
    import polars as pl

    c = run.configuration
    if not c.likelihood:
        return None
    value = pl.col("log_likelihood")
    found = run.scores().select(
        sequences=pl.len(),
        below_min_probability=value.null_count(),
        impossible=(value == -math.inf).sum(),
        mean_nats=value.filter(value.is_finite()).cast(pl.Float64).mean(),
    )
    settings = {name: getattr(c, name) for name in ("temperature", "top_k", "min_probability")}
    return settings | found.collect(engine="streaming").row(0, named=True)


def _likelihood_text(d: dict[str, Any]) -> str:
    """Say how probable continuations are: all of them, or how many are above the smallest one."""
    from memtrace.report.numbers import count, number

    found, start = d["likelihood"], f"Log-likelihood at step {d['step']}: "
    if (least := found["min_probability"]) is not None:
        kept = found["sequences"] - found["below_min_probability"]
        return (
            f"{start}{kept:,} of {count(found['sequences'], 'continuation')} have a probability of "
            f"at least {least:g}; the others are null."
        )
    possible = found["sequences"] - found["impossible"]
    what = "continuation" if possible == found["sequences"] else "continuation that can be drawn"
    mean = found["mean_nats"]
    text = f"{start}{number(mean, 4)} nats a {what}, on average." if possible else start
    if found["impossible"]:
        text += f" {count(found['impossible'], 'continuation')} cannot be drawn (-inf)."
    return text


def _control(run: "Run", events: "Events", corpus: "Corpus") -> dict[str, Any]:
    """Return the three classes of exposure, or why they are not known."""
    from memtrace.errors import CorpusError
    from memtrace.texts.exposure import count_classes
    from memtrace.texts.find import find_texts

    if not run.is_order_known:
        return {"control": None, "control_reason": "the training order is unknown"}
    if not events.count(run.exposed_rows)["not_exposed_sequences"]:
        return {"control": None, "control_reason": "only exposed sequences were scanned"}
    try:
        classes = count_classes(find_texts(run, corpus=corpus), events, run.exposed_rows)
    except CorpusError as error:
        return {"control": None, "control_reason": str(error)}
    return {"control": asdict(classes), "control_reason": None}


def runs_text(documents: list[dict[str, Any]]) -> str:
    """Return a table of finished scans, and below it what it does not say by itself."""
    known = any(d["control"] for d in documents)
    names = ["step", "sequences", "memorized", "share"]
    names += ["copy exposed", "memorized", "unexposed", "memorized"] if known else []
    unknown = all(d["training_order"] == "unknown" for d in documents)
    names += [] if known or unknown else ["not exposed", "memorized"]
    lines = [_table(names, [_cells(d, len(names)) for d in documents])]
    lines += [estimate_text(d["estimate"]) for d in documents if d["estimate"]]
    lines += [_likelihood_text(d) for d in documents if d["likelihood"] and d["sequences"]]
    lines += [_control_text(d) for d in documents if d["control"]]
    lines += _unknown_text(documents) + ([_ORDER_UNKNOWN] if unknown else [])
    folder = documents[0]["run"] if len(documents) == 1 else documents[0]["run"].rpartition("/")[0]
    tested = documents[0]["tested"]
    return "\n".join([*lines, f"Tested: {tested}", f"Scores: {folder}"])


def _cells(d: dict[str, Any], columns: int) -> list[str]:
    """Return the row of one scan: exposed sequences, then the others by class where it is known."""
    from memtrace.report.numbers import DASH, percent

    n, memorized = d["sequences"], d["memorized"]
    cells = [str(d["step"]), f"{n:,}", f"{memorized:,}", percent(memorized / n) if n else DASH]
    if d["control"]:
        for name in ("copy_exposed", "unexposed"):
            cells += [f"{d['control'][name][key]:,}" for key in ("exposure", "events")]
    elif d["not_exposed_sequences"]:
        cells += [f"{d[key]:,}" for key in ("not_exposed_sequences", "not_exposed_memorized")]
    return cells + [DASH] * (columns - len(cells))


def _control_text(d: dict[str, Any]) -> str:
    """Say what the control group shows: of none memorized, the one-sided bound of their rate."""
    from memtrace.report.numbers import count, percent

    control = d["control"]["unexposed"]
    start, texts = f"Control at step {d['step']}: ", control["texts"]
    if not texts:
        return f"{start}there is none; every later sequence is a copy of an exposed one."
    if found := control["event_texts"]:
        return (
            f"{start}{found:,} of {count(texts, 'unexposed text')} "
            f"{'is' if found == 1 else 'are'} extractable ({percent(found / texts)})."
        )
    # Clopper and Pearson (1934), one-sided, of no event.
    bound = percent(1 - 0.05 ** (1 / texts))
    return (
        f"{start}none of {count(texts, 'unexposed text')} is extractable: with 95% confidence the "
        f"rate among such texts is below {bound}."
    )


def _unknown_text(documents: list[dict[str, Any]]) -> list[str]:
    """Say why sequences that were not exposed are no control, where copies are not known."""
    some = [d for d in documents if d["not_exposed_sequences"] and not d["control"]]
    if not some:
        return []
    return [f"No control group: {some[0]['control_reason']}."]


def dry_document(plan: "ScanPlan") -> dict[str, Any]:
    """Return what a scan would do."""
    from memtrace.runs.run import MERGED
    from memtrace.storage.store import list_names

    shards, there = plan.shards(), list_names(plan.folder / "scores")
    done = [s for s in shards if MERGED in there or s.file_name in there]
    left = sum(s.sequences for s in shards) - sum(s.sequences for s in done)
    # Neighbouring rows come whole over a network; of a sample only the sequences do.
    whole_rows = plan.corpus.remote and plan.sample is None
    tokens = plan.corpus.row_tokens if whole_rows else plan.rules.sequence_tokens
    flops = plan.minimum_flops()
    return {
        "suite": plan.checkpoint.suite,
        "model": plan.checkpoint.model,
        "step": plan.checkpoint.step,
        "run": str(plan.folder),
        "source": plan.checkpoint.source,
        "revision": plan.checkpoint.revision,
        "corpus": plan.corpus.name,
        "sequences": plan.sequences,
        "sequences_left": left,
        "shards": len(shards),
        "shards_left": len(shards) - len(done),
        "bytes_to_read": left * tokens * plan.corpus.dtype.itemsize,
        "minimum_flops": flops and flops * left // max(plan.sequences, 1),
    }


def dry_text(documents: list[dict[str, Any]], need: "DiskNeed | None") -> str:
    """Return a table of what scans would do, and what it takes."""
    from memtrace.report.numbers import duration

    rows = [
        [
            str(d["step"]),
            f"{d['sequences']:,}",
            f"{d['sequences_left']:,}",
            f"{d['shards_left']:,}",
            _unit(d["bytes_to_read"], "B"),
            _unit(d["minimum_flops"], "FLOP"),
        ]
        for d in documents
    ]
    names = ["step", "sequences", "left", "shards left", "to read", "work, at least"]
    lines = [_table(names, rows)]
    known = [d["minimum_flops"] for d in documents if d["minimum_flops"] is not None]
    if known and len(known) == len(documents):
        lines.append(
            f"At least {_unit(sum(known), 'FLOP')} in all: {duration(sum(known) / H100_FLOPS)} on "
            f"an H100 that sustains {H100_FLOPS / 1e12:.0f} TFLOP/s in half precision."
        )
    if need:
        lines.append(disk_text(need))
    return "\n".join(lines)


def disk_text(need: "DiskNeed") -> str:
    """Return what the checkpoints take on disk."""
    from memtrace.report.numbers import count

    return (
        f"{count(need.checkpoints, 'checkpoint')} to download, {_unit(need.total_bytes, 'B')} in "
        f"all (with --drop-weights {_unit(need.peak_bytes, 'B')} at a time); "
        f"{_unit(need.free_bytes, 'B')} free"
    )


def _unit(value: int | None, unit: str) -> str:
    """Return a quantity with a prefix of the SI: `1.2 GB`, `340 TFLOP`."""
    from memtrace.report.numbers import DASH, number

    if value is None:
        return DASH
    prefix = next((i for i in range(6, 0, -1) if value >= 1000**i), 0)
    return f"{number(value / 1000**prefix, 3)} {' kMGTPE'[prefix].strip()}{unit}"


def _table(names: list[str], rows: list[list[str]]) -> str:
    from memtrace.report.text import columns, rendered, terminal_width

    return rendered(columns(names, rows, left=0), width=terminal_width())
