"""What a simulated device counts: calls, copies, host waits, memory and streams."""

import collections
import sys

import torch

WAITS = {  # operations that make the host wait for the device, apart from copies
    "_local_scalar_dense",
    "_unique2",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}


class Account:
    """Of all simulated devices together."""

    def __init__(self):
        self.memory = 80 << 30
        """Bytes of a device; what is beyond raises torch.OutOfMemoryError."""
        self.fails = None
        """A function of bytes: does this allocation fail?"""
        self.tf32 = None
        """Round the inputs of float32 products to 10 bits; None: as torch's own switches say."""
        self.allocated = self.peak = 0
        self._storages = {}
        self.reset()

    def reset(self):
        """Count from here."""
        self.calls, self.copies, self.waits = (collections.Counter() for _ in range(3))
        self.where = collections.Counter()
        self.attention = collections.Counter()
        self.launches = self.rows_decided = 0
        self.peak = self.allocated

    @property
    def host_waits(self):
        """How often the host has waited for the device."""
        return self.waits.total()

    def wait(self, kind):
        """Note that the host waits here."""
        if CAPTURING:
            raise RuntimeError(f"operation not permitted when stream is capturing ({kind})")
        self.waits[kind] += 1
        self.where[kind, _caller()] += 1

    def hold(self, device, storage):
        """Count a storage on a device once; return its key."""
        key = device, storage.data_ptr()
        if key not in self._storages:
            size = storage.nbytes()
            if self.allocated + size > self.memory or (self.fails and self.fails(size)):
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU 0 has a "
                    f"total capacity of {self.memory / 2**30:.2f} GiB of which "
                    f"{(self.memory - self.allocated) / 2**20:.2f} MiB is free."
                )
            self._storages[key] = [0, size]
            self.allocated += size
            self.peak = max(self.peak, self.allocated)
        self._storages[key][0] += 1
        return key

    def release(self, key):
        """A tensor is gone, and with the last one its storage."""
        entry = self._storages[key]
        entry[0] -= 1
        if not entry[0]:
            self.allocated -= entry[1]
            del self._storages[key]


def _caller():
    """The line of memtrace that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        _, inside, path = frame.f_code.co_filename.rpartition("/memtrace/")
        if inside:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


class Stream:
    """Work in order; another stream sees it only once it has waited."""

    def __init__(self, device=None, priority=0):
        self.device = torch.device("cuda", 0) if device is None else torch.device(device)
        self.device_index, self.cuda_stream = self.device.index or 0, id(self) & 0xFFFF
        self.clock, self._seen = 0, {}

    def wait_stream(self, other):
        self._seen[other] = other.clock
        ACCOUNT.calls["wait_stream"] += 1

    def sees(self, other, moment):
        """Is what `other` did at this moment done, for this stream?"""
        return other is self or self._seen.get(other, -1) >= moment

    def synchronize(self):
        ACCOUNT.wait("stream.synchronize")


ACCOUNT = Account()
DEFAULT_STREAM = Stream()
DEFAULT_STREAM.cuda_stream = 0
CURRENT = [DEFAULT_STREAM]
"""The streams that were entered, the current one last."""
CAPTURING = []
"""The graph that is captured now, if any."""
