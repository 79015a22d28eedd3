"""What a simulated device counts: calls, copies, host waits, memory and streams."""

import collections
import sys
import warnings
from contextlib import contextmanager

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
        self.warns = False
        """Warn where the host waits, as after torch.cuda.set_sync_debug_mode("warn")."""
        self.allocated = self.reserved = self.peak = 0
        """Bytes of tensors; those that torch keeps, freed ones too; the most of tensors."""
        self._storages = {}
        self.reset()

    def reset(self):
        """Count from here."""
        self.calls, self.copies, self.waits = (collections.Counter() for _ in range(3))
        self.behind = []
        self.where = collections.Counter()
        self.attention = collections.Counter()
        self.launches = self.rows_decided = 0
        self.peak = self.allocated

    def empty_cache(self):
        """Give back what is kept of freed tensors."""
        self.calls["empty_cache"] += 1
        self.reserved = self.allocated

    @property
    def host_waits(self):
        """How often the host has waited for the device."""
        return self.waits.total()

    def wait(self, kind, behind=0):
        """Note that the host waits here, and how many calls are queued behind what it waits for."""
        if CAPTURING:
            raise RuntimeError(f"operation not permitted when stream is capturing ({kind})")
        if self.warns and "synchronize" not in kind:
            warnings.warn("called a synchronizing CUDA operation", stacklevel=2)
        self.waits[kind] += 1
        self.behind.append(behind)
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
            self.reserved = max(self.reserved, self.allocated)
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
        self.device = torch.device("cuda", index_of(device))
        self.device_index, self.cuda_stream = self.device.index, id(self) & 0xFFFF
        self.clock, self._seen = 0, {}
        self.on_their_way = []
        """Functions that bring copies to the host, for which nobody has waited yet."""

    def wait_stream(self, other):
        self._seen[other] = other.clock
        ACCOUNT.calls["wait_stream"] += 1

    def sees(self, other, moment):
        """Is what `other` did at this moment done, for this stream?"""
        return other is self or self._seen.get(other, -1) >= moment

    def synchronize(self):
        ACCOUNT.wait("stream.synchronize")


class Event:
    """A moment of a stream: who waits for it does not wait for what is queued behind."""

    def __init__(self, enable_timing=False, blocking=False):
        self._stream = None

    def record(self, stream=None):
        self._stream = stream or current_stream()
        self._moment, self._copies = self._stream.clock, list(self._stream.on_their_way)

    def synchronize(self):
        ACCOUNT.wait("event.synchronize", self._stream.clock - self._moment)
        for arrive in self._copies:
            arrive()
        self._stream.on_their_way = [
            each for each in self._stream.on_their_way if each not in self._copies
        ]


def index_of(device=None):
    """Of a device, a number or nothing: then that of the current one."""
    index = device if isinstance(device, int) or device is None else torch.device(device).index
    return DEVICES[-1] if index is None else index


def default_stream(device=None):
    """Of a device."""
    stream = _DEFAULT_STREAMS.setdefault(index_of(device), Stream(device))
    stream.cuda_stream = 0
    return stream


def current_stream(device=None):
    """Of a device: each has its own."""
    entered = [each for each in CURRENT if each.device_index == index_of(device)]
    return entered[-1] if entered else default_stream(device)


@contextmanager
def on_device(device):
    """`torch.cuda.device`."""
    DEVICES.append(index_of(device))
    try:
        yield
    finally:
        DEVICES.pop()


@contextmanager
def on_stream(stream):
    """`torch.cuda.stream`: its device is the current one, too."""
    CURRENT.append(stream)
    try:
        with on_device(stream.device):
            yield
    finally:
        CURRENT.pop()


ACCOUNT = Account()
DEVICES = [0]
"""The current devices, one inside the other."""
CURRENT = []
"""The streams that were entered, the last one last."""
_DEFAULT_STREAMS = {}
CAPTURING = []
"""The graph that is captured now, if any, and the index of the device whose work it is."""
