"""Answers of the public API to oracle cases about the emergence of texts."""

import tempfile
from pathlib import Path
from typing import Any

import builders
import numpy as np
import polars as pl

from memtrace.emergence import read_histories
from memtrace.emergence.copies_effect import copies_effect
from memtrace.emergence.copy_steps import CopySteps
from memtrace.emergence.intervals import emergence_interval
from memtrace.emergence.outcomes import sequence_table
from memtrace.runs.run import Run
from memtrace.texts.groups import Texts

Answers = dict[str, Any]


def of_texts(given: Answers) -> Answers:
    """Dispatch by what is known of each text: all evaluations, or the first that found it."""
    return emergence(given) if "mem" in given["texts"][0] else copies_seen(given)


def emergence(given: Answers) -> Answers:
    """Read the intervals from runs with the copies at their steps, and other texts around them."""
    texts, checkpoints = given["texts"], given["checkpoints"]
    steps = [text["steps"] for text in texts]
    # Each text has places of its own in a step, one for each copy there.
    per_step = len(texts) * max(s.count(step) for s in steps for step in s)
    rows = [
        [step * per_step + number + len(texts) * s[:i].count(step) for i, step in enumerate(s)]
        for number, s in enumerate(steps)
    ]
    n = per_step * (checkpoints[-1] + 1)
    labels = np.arange(n)
    for copies in rows:
        labels[copies] = copies[0]
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for k, step in enumerate(checkpoints):
            hits = [row for r, t in zip(rows, texts, strict=True) if t["mem"][k] for row in r]
            runs.append(_run(Path(folder), n, per_step, step, hits))
        table = sequence_table(read_histories(runs, texts=Texts.from_labels(labels)))
    kinds = dict(table.select("first_index", "generic").iter_rows())
    found = {row["first_index"]: row for row in table.iter_rows(named=True)}
    exposure = np.array([s[0] for s in steps])
    first = [
        next((c for c, x in zip(checkpoints, t["mem"], strict=True) if x and c > e), np.nan)
        for t, e in zip(texts, exposure, strict=True)
    ]
    left, right = emergence_interval(exposure, first, checkpoints)
    for copies, low, high in zip(rows, left, right, strict=True):
        if kinds.get(copies[0]) is False:
            row = found[copies[0]]
            assert (row["emerged_after"], row["emerged_by"]) == (low, high)
    generic = [kinds.get(copies[0]) for copies in rows]
    return {
        "intervals": [
            {"exposure": e, "generic": bool(g), "left": low, "right": high}
            for e, g, low, high in zip(exposure, generic, left, right, strict=True)
        ],
        "emerged": [i for i, g in enumerate(generic) if g is False],
        "generic": [i for i, g in enumerate(generic) if g],
    }


def _run(folder: Path, n: int, per_step: int, step: int, hits: list[int]) -> Run:
    return builders.write_run(
        folder,
        lambda index: np.where(np.isin(index, hits), 32, 0),
        step=step,
        stop=n,
        exposed_rows=per_step * step,
        corpus_rows=n,
        sequences_per_step=per_step,
        shard_size=n,
        weight_digest=str(step),
    )


def copies_seen(given: Answers) -> Answers:
    texts, checkpoints = given["texts"], given["checkpoints"]
    lengths = [len(text["steps"]) for text in texts]
    copies = CopySteps(
        np.arange(len(texts)),
        np.repeat(np.arange(len(texts)), lengths),
        np.concatenate([text["steps"] for text in texts]),
    )
    first = np.array([text["first"] or np.inf for text in texts])
    tables: dict[bool, list[pl.DataFrame]] = {False: [], True: []}
    records = {}
    for low, high in zip([0, *checkpoints], checkpoints, strict=False):
        for emerged, at_risk in ((False, first > high), (True, first == high)):
            text, seen, steps = copies.between(low, high, at_risk)
            one = {"text": text, "checkpoint": np.zeros_like(text), "copies": seen, "steps": steps}
            tables[emerged].append(pl.DataFrame({**one, "count": np.ones_like(text)}))
            for i in np.unique(text):
                records[int(i), low, high, int(emerged)] = int((seen * steps)[text == i].sum())
    found = copies_effect(*(pl.concat(tables[emerged]) for emerged in (False, True)))
    return {
        "records": sorted(map(list, records)),
        "integral_beta1": [records[key] for key in sorted(records)],
        "lambda_": found.rates[0],
        "beta": found.exponent,
        "log_likelihood": found.log_likelihood,
        "log_likelihood_beta0": found.log_likelihood_alike,
        "lr_beta0": 2 * (found.log_likelihood - found.log_likelihood_alike),
        "beta_ci95_profile": found.ci95,
    }
