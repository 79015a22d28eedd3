"""What `compare` says of twins, pairs and profiles: its document, its sentences, its figures."""

import json

import numpy as np
import pytest
from builders import write_run

from memtrace.comparison import compare
from memtrace.comparison.charts import CHARTS
from memtrace.comparison.figures import drawn, single
from memtrace.comparison.page import finding
from memtrace.corpus import open_corpus
from memtrace.report.figures import png
from memtrace.report.json import json_text

TEXTS, STEPS = 150, (0, 4, 8, 12)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A model, a rerun that memorizes more, and a twin, with log-likelihoods and a control."""
    folder, rng = tmp_path_factory.mktemp("suite"), np.random.default_rng(5)
    texts = rng.integers(1, 99, (TEXTS, 65)).astype(np.uint16)
    often = rng.permutation(np.concatenate((np.arange(TEXTS), np.repeat(np.arange(20), 7))))
    again = np.concatenate((rng.permutation(TEXTS), rng.permutation(TEXTS)[:75]))
    own, runs = rng.normal(-60, 9, TEXTS), []
    for model, which, strength in (
        ("m", often, 1.0),
        ("m-seed1", often, 1.6),
        ("m-deduped", again, 1.0),
    ):
        place = folder / f"{'a' if which is often else 'b'}.npy"
        np.save(place, texts[which])
        corpus, rows = open_corpus(str(place)), len(which)
        for step in STEPS:
            exposed = rows * step // 16
            seen = np.bincount(which[:exposed], minlength=TEXTS)
            y = own + step + 4 * strength * (seen > 0) + rng.normal(0, 1, TEXTS)
            hit = strength * seen > 2 + np.arange(TEXTS) % 5
            runs.append(
                write_run(
                    folder / "runs",
                    lambda r, h=hit, w=which: h[w[r]] * 32,
                    likelihood=lambda r, y=y, w=which: y[w[r]],
                    model=model,
                    step=step,
                    record={"command": ["memtrace", "scan"], "corpus": {"name": corpus.name}},
                    corpus_digest=corpus.digest,
                    corpus_rows=rows,
                    exposed_rows=exposed,
                    stop=rows,
                    shard_size=1000,
                )
            )
    return compare(runs)


def test_the_document_has_every_value_or_a_reason(found):
    document = json.loads(json_text(found.to_dict()))  # no NaN gets through
    (twins,), (pair,) = document["deduplication"], document["paired"]
    last, of = twins["steps"][-1], found.deduplication[0].last
    assert last["matched"]["total"]["texts"] == of.matched_total.texts > 100
    assert last["total"]["standard"]["memorized"] == of.total.standard.memorized > 0
    assert last["by_copies_seen"]["10 times and more"]["reason"]
    assert [step["step"] for step in pair["steps"]] == list(STEPS)
    assert pair["steps"][0]["exposed"]["reason"] == "no text was scanned by both"
    table = pair["steps"][-1]["exposed"]
    assert table["model_only"] > table["baseline_only"] == 0
    assert table["odds_ratio"] is None
    assert "no bound" in table["reason"]
    more = pair["steps"][-1]["log_likelihood"]["exposed_minus_unexposed"]
    assert more["ci95"][0] < 2.4 < more["ci95"][1]
    assert pair["hazard_ratio"]["emerged"][1] > pair["hazard_ratio"]["emerged"][0]
    assert len(document["profile"]) == 3
    for model in document["profile"]:
        strength = 1.6 if "seed" in model["model"] else 1.0
        low, high = model["instantaneous"]["ci95"]
        assert low < 4 * strength < high
        assert low > 0
        # In its second pass the twin sees what it had seen: no fresh text is left as control.
        assert model["residual"]["step"] == (8 if "deduped" in model["model"] else 12)


def test_sentences_and_tables_have_the_numbers(found):
    printed = " ".join(found.summary(140).replace("│", " ").split())
    table = found.paired[0].last.shares["exposed"]
    assert f"Of {table.texts} exposed texts m-seed1 has memorized" in printed
    assert f"x {found.paired[0].hazard_ratio.ratio:.3g}" in printed
    effect = next(one for one in found.profiles if one.model == "demo/m").instantaneous
    assert f"+{effect.estimate:.3g}".rstrip("0") in printed
    twice = found.deduplication[0].last.by_copies["twice"].deduplicated
    assert f"{twice.memorized} of {twice.texts}" in printed


def test_figures_are_drawn_where_there_is_something_to_show(found):
    mine = ["deduplication", "both-corpora", "pairs", "pairs-over-training", "profile"]
    assert [name for name in drawn(found) if name in mine] == mine
    for name in (*mine, "time-since-training"):
        assert png(single(found, name), dpi=40)


def rows_of(found, name):
    """Return the rows of a chart's data, all sets in one."""
    return [row for rows in CHARTS[name](found)["datasets"].values() for row in rows]


def test_charts_of_training_have_the_numbers_of_the_result(found):
    table, part = found.paired[0].last.shares["exposed"], {}
    for row in rows_of(found, "pairs"):
        part[row["part"]] = row["end"] - row["start"]
        assert row["texts"] == f"{part[row['part']]:.0f} of {table.texts}"
    assert part == {
        "baseline alone": table.baseline_only,
        "model alone": table.model_only,
        "both": table.both,
    }
    steps = [one for one in found.paired[0].steps if one.shares["exposed"].texts]
    lines = [row for row in rows_of(found, "pairs-over-training") if "model" in row]
    for row, one in zip(lines, steps, strict=True):
        table = one.shares["exposed"]
        drawn_at = (row["low"], row["difference"], row["high"])
        low, high = table.difference_ci95
        assert drawn_at == pytest.approx((low, table.difference, high), rel=1e-4, abs=1e-9)
    shares = {}
    for row in rows_of(found, "both-corpora"):
        shares.setdefault(row["bar"], []).append(row["end"] - row["start"])
    matched = found.deduplication[0].last.matched
    for name, one in matched.items():
        if one.texts:
            counts = (one.baseline_only, one.both, one.model_only)
            assert shares.pop(f"{name} ({one.texts:,})") == pytest.approx(
                [n / one.texts for n in counts], rel=1e-4
            )
    assert not shares


def test_charts_of_a_profile_have_every_effect_once_and_the_line_of_exposure(found):
    one = found.drawn_profile
    cells = {
        (row["by"], row["step"]): row for row in rows_of(found, "profile") if "interval" in row
    }
    assert len(cells) == len(one.cohorts) * len(one.steps)
    for (cohort, place), effect in one.cells.items():
        row = cells.pop((one.cohorts[cohort].by, one.steps[place]))
        assert row["effect"] == pytest.approx(effect.estimate, rel=1e-4)
        assert row["sure"] == (effect.p_value < 0.05)
    for (by, step), row in cells.items():  # the baseline, just before, and what is not defined
        assert (row.get("effect") == 0) == ((step, by) in {(c.after, c.by) for c in one.cohorts})
    edge = [row["step"] for row in rows_of(found, "profile") if "more" in row]
    assert edge == [cohort.by for cohort in one.cohorts]
    course = {row["since"]: row["effect"] for row in rows_of(found, "time-since-training")
              if "since" in row}  # fmt: skip
    assert course[0] == pytest.approx(one.instantaneous.estimate, rel=1e-4)
    assert course[-1] == pytest.approx(one.before.estimate, rel=1e-4)
    assert set(course) == {-1, 0, *(later.checkpoints for later in one.persistent)}


def test_the_page_has_a_table_of_each_and_what_stands_out(found):
    shown = finding(found, names=[])
    tables = {table.title: table for table in shown.tables}
    assert {
        "m-deduped, step 12: memorized by copies seen",
        "m-deduped, step 12: texts that both had seen",
        "m-seed1 against m",
    } <= tables.keys()
    for table in shown.tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}
    exposed = found.paired[0].last.shares["exposed"]
    cells = [row for row in tables["m-seed1 against m"].rows if row[:2] == ("12", "exposed")]
    assert cells[0][2:6] == tuple(
        str(n) for n in (exposed.texts, exposed.both, exposed.baseline_only, exposed.model_only)
    )
    assert f"{100 * exposed.difference:.3g}" in " ".join(fact.value for fact in shown.facts)
