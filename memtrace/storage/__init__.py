"""Files: local or remote stores, digests, checksums, prefetching."""

from functools import partial

from memtrace.storage.modules import submodule

__getattr__ = partial(submodule, __name__)
