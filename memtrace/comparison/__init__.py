"""Runs side by side: model sizes, checkpoints, seeds, corpora, and what one says of another.

It reads the events of runs and, for copies of texts, their corpus. It loads no model.
"""

from functools import partial

from memtrace.comparison.fit import Comparison, compare
from memtrace.comparison.runs import ComparedRun, load_runs
from memtrace.storage.modules import submodule

__all__ = ["ComparedRun", "Comparison", "compare", "load_runs"]

__getattr__ = partial(submodule, __name__)
