"""Whatever a few texts went through, there is a document without NaN and text without it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrace.emergence import EmergenceFit, fit_emergence
from memtrace.emergence.figures import figures_of
from memtrace.emergence.process.fit import fit_emergence_process
from memtrace.errors import FitError
from memtrace.runs.run import Run, find_runs
from memtrace.texts.groups import Texts

UNREADABLE = re.compile(r"\bnan\b|\binf(inity)?\b|\de[+-]\d", re.IGNORECASE)
SHARDS = 3


def write_runs(
    folder: Path,
    hits: np.ndarray,
    steps: list[int],
    per_step: int,
    *,
    unexposed: bool = True,
    missing: set[tuple[int, int]] = frozenset(),
) -> list[Run]:
    """Write which sequences each checkpoint has memorized; `missing` are (checkpoint, shard)."""
    rows = len(hits)
    for k, step in enumerate(steps):
        exposed = min(per_step * step, rows)
        stop = rows if unexposed else exposed
        if stop:
            size = max(1, rows // SHARDS)
            write_run(
                folder,
                lambda index, k=k: np.where(hits[index, k], 32, 3),
                shards=[n for n in range(-(-stop // size)) if (k, n) not in missing],
                model="small",
                step=step,
                stop=stop,
                exposed_rows=exposed,
                corpus_rows=rows,
                sequences_per_step=per_step,
                shard_size=size,
                weight_digest=str(step),
            )
    return find_runs(folder)


def check_all(runs: list[Run], texts: Texts | None = None) -> EmergenceFit:
    fit = fit_emergence(runs, texts=texts)
    for result in (fit, fit_emergence_process(fit.histories)):
        document = result.to_dict()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        found = UNREADABLE.search(result.summary() + result.verdict)
        assert found is None, result.summary()
    return fit


def nulls(value: object, path: str = "") -> Iterator[str]:
    """Yield where a document has null and no reason beside it or above it."""
    if isinstance(value, dict):
        if any("reason" in key and text for key, text in value.items()):
            return
        for key, item in value.items():
            if "reason" not in key:
                yield from nulls(item, f"{path}.{key}")
    elif value is None:
        yield path


@settings(max_examples=25)
@given(data=st.data())
def test_any_small_history_has_a_document_and_a_text(tmp_path_factory, data) -> None:
    steps = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 100]), min_size=2, unique=True))
    steps.sort()
    per_step = data.draw(st.sampled_from([1, 4]))
    rows = min(per_step * steps[-1], 24)
    every = st.lists(st.booleans(), min_size=len(steps), max_size=len(steps))
    some = st.just([False] * len(steps)) | st.just([True] * len(steps)) | every
    hits = np.array(data.draw(st.lists(some, min_size=rows, max_size=rows)))
    labels = np.array(data.draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows)))
    if texts := data.draw(st.sampled_from([None, Texts.from_labels(labels)])):
        hits = hits[labels % rows]
    folder = tmp_path_factory.mktemp("runs")
    unexposed = data.draw(st.booleans()) or steps[-2] == 0
    try:
        check_all(write_runs(folder, hits, steps, per_step, unexposed=unexposed), texts)
    except FitError as error:
        assert "had been extractable before" in str(error)


ROWS, PER_STEP = 2000, 4
STEPS = [0, 10, 50, 128, 250, 500]
SEEN = np.array(STEPS)[None, :] > (np.arange(ROWS) // PER_STEP)[:, None]
TENTH = (np.arange(ROWS) % 10 == 0)[:, None]
EACH = Texts.from_labels(np.arange(ROWS))
"""No sequence is a copy of another."""
HISTORIES = {
    "all at the first checkpoint": SEEN,
    "a tenth at the first checkpoint": SEEN & TENTH,
    "a tenth at the last checkpoint": TENTH & (np.array(STEPS) == STEPS[-1]),
    "a tenth at the first step only": TENTH & (np.array(STEPS) == STEPS[1]),
    "one sequence": np.arange(ROWS)[:, None] == [7] * len(STEPS),
    "every other checkpoint": SEEN & TENTH & (np.arange(len(STEPS)) % 2 == 0),
    "none": np.zeros((ROWS, len(STEPS)), bool),
}


@pytest.mark.parametrize("unexposed", [True, False])
@pytest.mark.parametrize("name", HISTORIES)
def test_extreme_histories_have_a_document_and_a_text(tmp_path, name, unexposed) -> None:
    runs = write_runs(tmp_path, HISTORIES[name], STEPS, PER_STEP, unexposed=unexposed)
    fit = check_all(runs, EACH)
    for part in (
        "copies",
        "forgetting",
        "learning",
        "time_scales",
        "control",
        "exposure_effect",
        "local_overdispersion",
        "panel",
    ):
        assert list(nulls(fit.to_dict()[part])) == [], part
    if unexposed:
        return
    # A figure without anything to show is left out.
    figure = fit.plot()
    assert len(figure.axes) == len(figures_of(fit))
    assert not [text for ax in figure.axes for text in ax.texts if "nothing" in text.get_text()]


def test_sequences_that_were_all_extractable_before_are_said_to_be(tmp_path) -> None:
    runs = write_runs(tmp_path, np.ones((ROWS, len(STEPS)), bool), STEPS, PER_STEP)
    with pytest.raises(FitError, match="had been extractable before"):
        fit_emergence(runs)


def test_early_checkpoints_and_missing_shards(tmp_path) -> None:
    steps = [1, 2, 4, 8]
    hits = np.random.default_rng(1).random((400, len(steps))) < 0.1
    check_all(write_runs(tmp_path, hits, steps, 50, missing={(1, 0), (2, 2)}))


def cause(tmp_path, hits, **kw) -> str:
    fit = fit_emergence(write_runs(tmp_path, hits, STEPS, PER_STEP, **kw), texts=EACH)
    return fit.verdict


def test_without_control_group_the_verdict_says_how_to_scan_one(tmp_path) -> None:
    said = cause(tmp_path, SEEN & TENTH, unexposed=False)
    assert "there is no control group" in said
    assert "--include-unexposed" in said


def test_a_control_group_of_which_none_is_extractable_is_evidence(tmp_path) -> None:
    fit = fit_emergence(write_runs(tmp_path, SEEN & TENTH, STEPS, PER_STEP), texts=EACH)
    control = fit.control
    # Each sequence is followed from checkpoint 0 to the last that has not seen it.
    last = np.array([max(s for s in STEPS if s <= row // PER_STEP) for row in range(ROWS)])
    assert control.exposure == last.sum()
    assert control.became_extractable == 0
    most = -np.log(0.025) / last.sum()
    assert control.rate_ci95 == pytest.approx((0, most))
    assert "no control group" not in fit.verdict
    assert f"{most * 1e6:,.1f}".rstrip("0").rstrip(".") in fit.verdict
    assert fit.to_dict()["control"]["reason"] is None
    for least, is_told in ((0.05, False), (1.5, True)):  # a bound below 1 says nothing
        effect = replace(fit.effect, ci95=(least, np.inf))
        assert ("times as often" in replace(fit, effect=effect).verdict) == is_told


def test_control_sequences_that_were_scanned_once_tell_no_rate(tmp_path) -> None:
    runs = write_runs(tmp_path, SEEN[:, :2] & TENTH, [0, 500], PER_STEP)
    fit = fit_emergence(runs, texts=EACH)
    assert "no text that occurs once was evaluated twice before it was trained on" in fit.verdict
    assert "no control group" not in fit.verdict


def test_all_emergences_in_one_interval_are_no_drift_with_a_bound(tmp_path) -> None:
    fit = fit_emergence(write_runs(tmp_path, HISTORIES["a tenth at the last checkpoint"], STEPS, 4))
    process = fit_emergence_process(fit.histories)
    assert process.trend.reason == "all emergences are in the last interval: a drift has no bound"
    assert process.to_dict()["trend"]["rate_ratio"] is None
    assert process.equivalence.equivalent is None


def test_the_first_sequences_may_all_emerge_and_the_rest_has_an_estimate(tmp_path) -> None:
    """All that waited at an early checkpoint had emerged: what comes later has no mass."""
    hits = np.zeros((24, 6), bool)
    hits[0, 3] = True
    hits[[2, 3, 4, 16, 17, 20, 22, 23]] = True
    fit = check_all(write_runs(tmp_path, hits, [0, 1, 2, 3, 5, 100], 1, unexposed=False))
    assert all(scale.found.kkt <= 1 + 1e-6 for scale in fit.time_scales.values())
