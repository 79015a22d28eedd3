"""A tensor that says it is on a CUDA device; its data lie in CPU memory, every call is checked."""

import weakref
from functools import cache, partial

import torch
from simulated_cuda.account import ACCOUNT, CAPTURING, WAITS, current_stream, index_of
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
CPU = torch.device("cpu")
INTEGERS = (torch.bool, torch.uint8, torch.int32, torch.int64)
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
PRODUCTS = {"mm": 0, "bmm": 0, "linear": 0, "matmul": 0}
PRODUCTS |= {"addmm": 1, "baddbmm": 1, "_addmm_activation": 1}  # the place of the first factor
PURE = {
    *("linear", "matmul", "scaled_dot_product_attention", "layer_norm", "rms_norm", "softmax"),
    *("reshape", "flatten", "unflatten", "contiguous", "expand_as", "view_as", "chunk", "dropout"),
    *("conv1d", "log_softmax", "pad", "broadcast_to", "type_as"),
}
"""Calls made of others that neither make tensors elsewhere nor wait: computed as one, in C++."""


def cuda_device(index=None):
    return torch.device("cuda", index_of(index))


class CudaTensor(torch.Tensor):
    """Wraps a tensor of the CPU."""

    @staticmethod
    def __new__(cls, inner, device=None, requires_grad=False):
        assert type(inner) is torch.Tensor, type(inner)
        device = device or cuda_device()
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=device,
            requires_grad=requires_grad,
        )
        self.inner = inner
        self.stream = current_stream(device)
        self.stream.clock += 1
        self.moment, self.recorded = self.stream.clock, set()
        if inner.numel():
            key = ACCOUNT.hold(device, inner.untyped_storage())
            weakref.finalize(self, ACCOUNT.release, key)
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    def __repr__(self):
        return f"CudaTensor({self.inner})"

    # These ask for a device guard in C++ before they are dispatched.
    def copy_(self, source, non_blocking=False):
        return dispatch(ATEN.copy_.default, (self, source), {"non_blocking": non_blocking})

    def nonzero(self, *, as_tuple=False):
        check_streams([self])
        ACCOUNT.wait("nonzero")
        with _same_mode():
            found = self.inner.nonzero(as_tuple=as_tuple)
            if as_tuple:
                return tuple(CudaTensor(each, self.device) for each in found)
            return CudaTensor(found, self.device)

    def item(self):
        check_streams([self])
        ACCOUNT.wait("item")
        return self.inner.item()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __index__(self):
        return int(self.item())

    def __len__(self):
        return len(self.inner)

    def __iter__(self):
        return iter([self[i] for i in range(len(self.inner))])

    def tolist(self):
        check_streams([self])
        ACCOUNT.wait("tolist")
        return self.inner.tolist()

    def numpy(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    @property
    def real(self):
        with _same_mode():
            return CudaTensor(self.inner.real, self.device) if self.dtype.is_complex else self

    @property
    def imag(self):
        with _same_mode():
            return CudaTensor(self.inner.imag, self.device)

    def _plain_index(self, key):
        def plain(part):
            if not isinstance(part, torch.Tensor):
                return part
            if part.dtype in (torch.bool, torch.uint8):
                ACCOUNT.wait("index by a mask")
            if isinstance(part, CudaTensor):
                if part.device != self.device:
                    raise RuntimeError(
                        "indices should be either on cpu or on the same device as the indexed "
                        f"tensor ({self.device})"
                    )
                check_streams([part])
                return part.inner
            ACCOUNT.wait("index from the host")
            return part

        check_streams([self])
        return tuple(map(plain, key)) if isinstance(key, tuple) else plain(key)

    def __getitem__(self, key):
        plain = self._plain_index(key)

        def get():
            with _same_mode():
                return CudaTensor(self.inner[plain], self.device)

        return _made([self], get)

    def __setitem__(self, key, value):
        if isinstance(value, torch.Tensor) and not isinstance(value, CudaTensor) and value.dim():
            ACCOUNT.wait("value from the host")
        plain = value.inner if isinstance(value, CudaTensor) else value
        index = self._plain_index(key)
        _made([self], lambda: self.inner.__setitem__(index, plain))

    def __deepcopy__(self, memo):
        copy = CudaTensor(self.inner.clone(), self.device, self.requires_grad)
        if getattr(self, "_is_param", False):
            copy._is_param = True
        memo[id(self)] = copy
        return copy

    def data_ptr(self):
        return self.inner.data_ptr()

    def record_stream(self, stream):
        self.recorded.add(stream)

    def __dlpack__(self, *, stream=None, **_):
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self

    def __dlpack_device__(self):
        return 2, self.device.index


class Mode(TorchDispatchMode):
    """Sees what makes tensors on the device: torch.empty(..., device="cuda")."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def check_streams(tensors):
    """Raise where a stream reads what another one may not have written yet, or frees too early."""
    for tensor in tensors:
        current = current_stream(tensor.device)
        if not current.sees(tensor.stream, tensor.moment):
            raise RuntimeError("read on a stream that has not waited for the one that writes it")
        if tensor.stream is not current and current not in tensor.recorded:
            raise RuntimeError("used on another stream without record_stream")


def dispatch(func, args, kwargs):
    """Check, count and compute one call of ATen."""
    name = func._opname
    tensors = []
    _map(tensors.append, (args, kwargs))
    ours = [t for t in tensors if isinstance(t, CudaTensor)]
    wanted = kwargs.get("device")
    wanted = torch.device(wanted) if wanted is not None else None
    if not ours and (wanted is None or wanted.type != "cuda"):
        return func(*args, **kwargs)
    if name == "to":
        return _to(func, args, kwargs)
    # In inference mode composite calls (linear, item, ...) arrive whole: take them apart, under
    # the mode, so that factories inside them are seen too.
    if name not in PURE and _is_composite(func):
        with Mode():
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
    ACCOUNT.calls[name] += 1
    check_streams(ours)
    return _made(ours, lambda: _run(func, name, args, kwargs, tensors, wanted), wanted)


def _made(read, call, wanted=None):
    """Make a call; while a graph is captured on its device it is noted, to be made again."""
    place = read[0].device if read else wanted
    if not CAPTURING or index_of(place) != CAPTURING[-1][1]:
        return call()
    return CAPTURING[-1][0].record(call, {t.inner.untyped_storage().data_ptr() for t in read})


def _run(func, name, args, kwargs, tensors, wanted):
    ours = [t for t in tensors if isinstance(t, CudaTensor)]
    if name == "_to_copy":
        return _to_copy(func, args[0], kwargs, wanted)
    if name == "copy_":
        return _copy_(func, args, kwargs)
    _check_devices(name, args, tensors, ours)
    _count_waits(name, args, kwargs)
    return _compute(func, name, args, kwargs, ours, wanted)


@cache
def _is_composite(func):
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _to(func, args, kwargs):
    """aten.to in all its overloads: its own code asks a device guard that CPU builds lack."""
    given = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
    source, other = given["self"], given.get("other")
    dtype = other.dtype if other is not None else given.get("dtype") or source.dtype
    device = other.device if other is not None else given.get("device")
    device = torch.device(device) if device is not None else source.device
    if device.type == "cuda" and device.index is None:
        device = cuda_device()
    if device == source.device and dtype == source.dtype and not given.get("copy"):
        return source
    options = {"dtype": dtype, "device": device, "non_blocking": given.get("non_blocking", False)}
    return dispatch(ATEN._to_copy.default, (source,), options)


def _to_copy(func, source, kwargs, wanted):
    left_out = ("device", "non_blocking", "pin_memory")
    options = {k: v for k, v in kwargs.items() if k not in left_out} | {"device": CPU}
    on_device = isinstance(source, CudaTensor)
    copied = func(source.inner if on_device else source, **options)
    if on_device and wanted is not None and wanted.type == "cpu":
        if not kwargs.get("non_blocking"):
            ACCOUNT.wait("copy to the host")
            return copied
        ACCOUNT.copies["to the host, asynchronous"] += 1
        stream = current_stream(source.device)
        stream.clock += 1
        host = copied.bitwise_not() if copied.dtype in INTEGERS else copied * torch.nan
        stream.on_their_way.append(partial(host.copy_, copied))
        return host
    if on_device:
        return CudaTensor(copied, source.device if wanted is None else cuda_device(wanted.index))
    if getattr(source, "pinned", False) and kwargs.get("non_blocking"):
        ACCOUNT.copies["to the device, asynchronous"] += 1
    else:
        ACCOUNT.wait("copy to the device")
    return CudaTensor(copied, cuda_device(wanted.index))


def _copy_(func, args, kwargs):
    to, source = args[:2]
    if isinstance(to, CudaTensor) and not isinstance(source, CudaTensor):
        if getattr(source, "pinned", False) and kwargs.get("non_blocking"):
            ACCOUNT.copies["to the device, asynchronous"] += 1
        elif source.dim():
            ACCOUNT.wait("copy to the device")
    elif isinstance(source, CudaTensor) and not isinstance(to, CudaTensor):
        ACCOUNT.wait("copy to the host")
    func(*_strip((to, source)))
    return to


def _check_devices(name, args, tensors, ours):
    if len({t.device for t in ours}) > 1:
        raise RuntimeError(f"Expected all tensors to be on the same device (aten.{name})")
    host = [t for t in tensors if not isinstance(t, CudaTensor) and t.dim()]
    if not host or not ours or name in ("_pin_memory", "set_", "detach"):
        return
    if name in INDEXING:
        if not isinstance(args[0], CudaTensor):
            raise RuntimeError("indices should be on the same device as the indexed tensor (cpu)")
        indices = [t for t in args[1] if t is not None and not isinstance(t, CudaTensor)]
        for _ in indices:
            ACCOUNT.wait("index from the host")
        host = [t for t in host if not any(t is index for index in indices)]
    if host:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! (aten.{name})"
        )


def _count_waits(name, args, kwargs):
    if name in WAITS or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        ACCOUNT.wait(name)
    if name in INDEXING:
        masks = (torch.bool, torch.uint8)
        if any(t is not None and t.dtype in masks for t in args[1]):
            ACCOUNT.wait("index by a mask")


def _compute(func, name, args, kwargs, ours, wanted):
    device = ours[0].device if ours else cuda_device(wanted.index)
    plain, options = list(_strip(args)), dict(_strip(kwargs))
    if wanted is not None:
        options["device"] = CPU
    if options.get("pin_memory"):
        options["pin_memory"] = False
    first = PRODUCTS.get(name)
    if first is not None and plain[first].dtype == torch.float32 and _tf32():
        plain[first], plain[first + 1] = map(_round_to_tf32, plain[first : first + 2])
    counted = plain[0].dtype if name == "histc" else None
    if counted is not None:  # of integers on CUDA alone
        plain[0] = plain[0].float()
    with _same_mode():
        if func is ATEN.mm.dtype:  # half types into float32: on CUDA alone
            assert plain[0].dtype == plain[1].dtype != plain[2], plain
            out = plain[0].to(plain[2]) @ plain[1].to(plain[2])
        else:
            out = func(*plain, **options)
    if counted is not None:
        out = out.to(counted)
    if name in ("_local_scalar_dense", "equal", "is_nonzero"):
        return out
    if "out" in kwargs:
        return kwargs["out"]
    aliases, writes = _first_argument(func)
    if writes:
        return args[0]
    # A view of a normal tensor is a normal tensor, in inference mode too.
    normal = aliases and ours and not ours[0].is_inference()

    def wrap(t):
        if isinstance(t, CudaTensor):
            return t
        if normal and torch.is_inference_mode_enabled():
            with torch.inference_mode(False):
                return CudaTensor(t, device)
        return CudaTensor(t, device)

    return _map(wrap, out)


@cache
def _first_argument(func):
    """Is the result a view of it; is it written to?"""
    arguments = func._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None, alias is not None and alias.is_write


def _same_mode():
    return torch.inference_mode(torch.is_inference_mode_enabled())


def _map(change, tree):
    """Change the tensors of nested lists; ten times as fast as torch's tree_map."""
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, list | tuple):
        return type(tree)([_map(change, each) for each in tree])
    return {k: _map(change, v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def _strip(tree):
    return _map(lambda t: t.inner if isinstance(t, CudaTensor) else t, tree)


def _tf32():
    return torch.backends.cuda.matmul.allow_tf32 if ACCOUNT.tf32 is None else ACCOUNT.tf32


def _round_to_tf32(t):
    bits = t.contiguous().view(torch.int32)
    bits = (bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF
    return bits.view(torch.float32)
