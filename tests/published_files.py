"""Published evaluations, written as their scripts write them, and a suite to import them into."""

from pathlib import Path

import numpy as np
import polars as pl
import yaml

from memtrace.scanning.import_published import import_run

STEP_ROWS, LAST = 16, 20
ROWS = STEP_ROWS * LAST
RNG = np.random.default_rng(11)
ACCURACY = np.where(RNG.random(ROWS) < 0.1, 32, RNG.integers(0, 32, ROWS)) / 32


def make_tokens():
    return np.random.default_rng(1).integers(1, 500, (ROWS, 65)).astype(np.uint16)


def make_toy(tmp_path):
    """A suite whose corpus has ROWS rows."""
    manifest = yaml.safe_load((Path(__file__).parent / "local_suite.yaml").read_text())
    manifest |= {"steps": [2, 10, LAST], "sequences_per_step": STEP_ROWS}
    manifest["corpora"] = {
        "pile": {"hub": "x/y", "files": "d.bin", "row_tokens": 65, "dtype": "uint16", "rows": ROWS}
    }
    manifest["models"][0] |= {"name": "12b", "corpus": "pile"}
    del manifest["models"][0]["corpus_note"]
    deduped = {**manifest["models"][0], "name": "12b-deduped"}
    manifest["models"].append(deduped)
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(manifest))

    def bring(source, **options):
        options.setdefault("runs", tmp_path / "runs")
        return import_run(source, manifest=path, suite="toy", shard_size=100, **options)

    return bring


def ranks(folder, step, world, batch):
    """Write what the published script writes, by its own rules: rank files `index,accuracy`.

    A rank's batches are cut by the end of the corpus only, so ranks overlap; and the batch that the
    corpus' end cuts is labelled one too high.
    """
    folder.mkdir()
    total, written = step * STEP_ROWS, 0
    for rank in range(world):
        share = total // world
        start, end = share * rank, share * (rank + 1) - 1
        if rank == world - 1:
            end = total - 1
        lines = []
        for i in range(start, end + 1, batch):
            read = ACCURACY[i : i + batch]
            label = i if len(read) == batch else i + 1
            lines += [f"{label + j},{value}" for j, value in enumerate(read)]
        (folder / f"rank-{rank}.csv").write_text("\n".join(lines))
        written += len(lines)
    return folder, written


def memorized_rows(run):
    table = run.scores().filter(pl.col("matched_tokens") == 32).collect()
    return table["sequence_index"].to_list()


def truth(exposed=ROWS):
    return np.flatnonzero(ACCURACY[:exposed] == 1).tolist()


def evaluated(run):
    return run.scores().collect()["sequence_index"].to_list()


def write_table(path, index, tokens):
    pl.DataFrame(
        {
            "index": np.asarray(index, np.int64),
            "tokens": tokens[index, :64].astype(np.int64).tolist(),
            "__index_level_0__": np.arange(len(index)),
        },
        schema_overrides={"tokens": pl.List(pl.Int64)},
    ).write_parquet(path)
    return path
