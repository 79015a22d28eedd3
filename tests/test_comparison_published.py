"""Published counts of memorized sequences are those of their imports."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from published_files import LAST, ROWS, STEP_ROWS, make_tokens, write_table

import memtrace
from memtrace.scanning.import_published import import_run


def test_published_counts_are_those_of_their_imports(tmp_path):
    """As the published tables are: index and tokens of memorized rows alone, without a corpus."""
    manifest = yaml.safe_load((Path(__file__).parent / "local_suite.yaml").read_text())
    model = manifest["models"][0] | {"corpus": "pile"}
    del model["corpus_note"]
    rng, counts = np.random.default_rng(1), {"70m": 31, "12b": 77}
    manifest |= {
        "steps": [2, LAST],
        "sequences_per_step": STEP_ROWS,
        "corpora": {
            "pile": {"hub": "x/y", "files": "d.bin", "row_tokens": 65, "dtype": "uint16",
                     "rows": ROWS}
        },
        "models": [
            model | {"name": name, "parameters": size, "memorized": {LAST: counts[name]}}
            for name, size in (("70m", 70426624), ("12b", 11846072320))
        ],
    }  # fmt: skip
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(manifest))
    rows = {name: np.sort(rng.choice(ROWS, n, False)) for name, n in counts.items()}
    for name, index in rows.items():
        source = write_table(tmp_path / f"duped.{name}.parquet", index, make_tokens())
        import_run(source, model=name, step=LAST, suite=manifest["suite"], manifest=path,
                   runs=tmp_path / "runs")  # fmt: skip
    runs = memtrace.find_runs(tmp_path / "runs")
    found = memtrace.compare(runs, manifest=path).to_dict()
    assert {one["model"]: one["rows"] for one in found["scale"]} == counts
    assert all(one["memorized_exposed"] == one["published"] for one in found["runs"])
    (one,) = found["prediction"]
    both = len(set(rows["70m"].tolist()) & set(rows["12b"].tolist()))
    assert (one["from"], one["texts_both"]) == (f"{manifest['suite']}/70m step {LAST}", both)
    assert one["precision"] == pytest.approx(both / 31)
