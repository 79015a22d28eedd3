"""What `compare` says of twins, pairs and profiles: its document, its sentences, its figures."""

import json

import numpy as np
import pytest
from builders import write_run

from memtrace.comparison import compare
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
