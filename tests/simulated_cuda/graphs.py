"""CUDA graphs: what is called while one is captured is computed when it is replayed."""

import torch
from simulated_cuda.account import ACCOUNT, CAPTURING, Stream


class CUDAGraph:
    """The calls of a pass, and the tensors that they write to."""

    def __init__(self, keep_graph=False):
        self._steps = []

    def record(self, run, read):
        """Make a call, and note it with the tensors that it gives; it has read these storages."""
        given = run()
        out = [t for t in _flat(given) if hasattr(t, "inner")]
        self._steps.append((run, out, read))
        return given

    def forget(self):
        """While a graph is captured a device computes nothing: nobody may count on it."""
        for _, out, read in self._steps:
            for each in out:
                if each.is_floating_point() and each.inner.untyped_storage().data_ptr() not in read:
                    each.inner.fill_(torch.nan)

    def replay(self):
        ACCOUNT.calls["replay"] += 1
        for run, out, _ in self._steps:
            again = [t for t in _flat(run()) if hasattr(t, "inner")]
            for old, new in zip(out, again, strict=True):
                if old.inner.data_ptr() != new.inner.data_ptr():  # not a view, nor written in place
                    old.inner.copy_(new.inner)


def _flat(tree):
    if isinstance(tree, list | tuple):
        return [t for each in tree for t in _flat(each)]
    return [tree]


class capture:  # noqa: N801 (torch's name)
    """`torch.cuda.graph`: captures what runs on the device of a stream.

    As in torch, all captures that name no stream share one, of the device that was current first.
    """

    default_capture_stream = None

    def __init__(self, graph, pool=None, stream=None, capture_error_mode="global"):
        if stream is None and capture.default_capture_stream is None:
            capture.default_capture_stream = Stream()
        self._graph, self._stream = graph, stream or capture.default_capture_stream

    def __enter__(self):
        ACCOUNT.calls["capture"] += 1
        CAPTURING.append((self._graph, self._stream.device_index))

    def __exit__(self, *_):
        CAPTURING.pop()
        self._graph.forget()
