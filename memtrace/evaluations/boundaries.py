"""Standard errors of shares of 0 and 1: the published 0 does not mean that they are known."""

import math

import polars as pl

AGREE = 0.02
"""Numbers of questions that errors imply agree to this fraction."""
TOLD = (
    "An error published as 0 counts as unknown; that of an accuracy of 0 or 1 is taken from its "
    "exact 95% interval where other values of the task tell the number of questions."
)


def with_errors_at_ends(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table of evaluations in which no value counts as known without error.

    Of n answers that are all right, or all wrong, the published error sqrt(p (1 - p) / (n - 1)) is
    0. The exact 95% interval (Clopper and Pearson 1934, Biometrika 26:404) reaches
    1 - 0.025**(1 / n) from there: this over 1.96 takes its place. Other values of the same task and
    metric tell n, if they agree about it; where none does, and of other values, a 0 becomes null.

    Args:
        table: With `task`, `metric`, `value` and `stderr`.
    """
    p, error = pl.col("value"), pl.col("stderr")
    implied = pl.when((p > 0) & (p < 1) & (error > 0)).then(p * (1 - p) / error**2 + 1)
    by = ["task", "metric"]
    told = table.group_by(by).agg(
        questions=implied.median(), spread=(implied - implied.median()).abs().max()
    )
    questions = pl.when(pl.col("spread") <= AGREE * pl.col("questions")).then(pl.col("questions"))
    bound = (1 - (math.log(0.025) / questions).exp()) / 1.959964
    mended = (
        pl.when(error.is_null() | (error != 0)).then(error).when(p.is_in([0.0, 1.0])).then(bound)
    )
    joined = table.join(told, on=by, how="left", maintain_order="left")
    return joined.with_columns(stderr=mended).select(table.columns)
