"""Kernel: one compiled pass over a tensor; `available` says whether it was built."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

# dtype -> number of the kernel's variant, and how its words are packed as integer and as number
_KINDS = {
    torch.bool: (0, "", ""),
    torch.float16: (1, "<H", "<e"),
    torch.bfloat16: (2, "<I", "<f"),
    torch.float32: (3, "<I", "<f"),
    torch.float64: (4, "<Q", "<d"),
}
_DTYPES = {kind: dtype for dtype, (kind, _, _) in _KINDS.items()}
_VERSION = 1
_ALL = 0xFFFFFFFFFFFFFFFF
_Three = ctypes.c_int64 * 3
_Found = ctypes.c_double * 5


class Scanned(NamedTuple):
    """What one pass found.

    totals : (N), sums of the fan over marked elements      marks : (N), their number
    counts : (N, P), marked elements over the channels, or None
    largest : of all magnitudes      smallest : of the marked ones, 0.0 if there are none
    is_negative : a marked element is negative      ones : elements of magnitude 1
    marked : number of marked elements
    """

    totals: np.ndarray
    marks: np.ndarray
    counts: Tensor | None
    largest: float
    smallest: float
    is_negative: bool
    ones: int
    marked: int


def _load() -> ctypes.CDLL | None:
    path = Path(__file__).with_name("libkernel.so")
    try:
        library = ctypes.CDLL(str(path))
        if library.dse_scan_version() != _VERSION:
            return None  # built from another version of the source
        pointer, word = ctypes.c_void_p, ctypes.c_uint64
        library.dse_scan.argtypes = [ctypes.c_int, pointer, _Three, _Three, word, word]
        library.dse_scan.argtypes += [pointer, ctypes.c_int64, *[pointer] * 3, _Found]
    except (OSError, AttributeError):
        return None
    return library


_library = _load()


def available() -> bool:
    """Whether the kernel was compiled when the package was built."""
    return _library is not None


def takes(x: Tensor) -> bool:
    """Whether the kernel can look at this tensor: else PyTorch has to."""
    return (
        _library is not None
        and x.dtype in _KINDS
        and x.device.type == "cpu"
        and not x.is_conj()
        and not x.is_neg()
    )


class Pass:
    """A pass over tensors of one shape, strides and dtype, ready to run on any memory.

    shape, stride : of (N, C, P)       fan : int32 (1 or C, P), contiguous, or none: totals 0
    The elements with low <= abs(x) <= high are marked; default: all that are not zero.
    """

    __slots__ = ("_arguments", "_counts_shape", "_fan", "_rows")

    def __init__(
        self,
        dtype: torch.dtype,
        shape: tuple[int, int, int],
        stride: tuple[int, int, int],
        fan: Tensor | None = None,
        *,
        wants_counts: bool = False,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        kind, word, number = _KINDS[dtype]
        rows, channels, places = shape
        is_shared = channels > 1 and (fan is None or fan.shape[0] == 1)
        self._rows = rows
        self._counts_shape = None
        if wants_counts or (is_shared and fan is not None):
            self._counts_shape = (rows, places)
        self._fan = fan  # its memory is read
        self._arguments = (
            kind,
            _Three(*shape),
            _Three(stride[0], stride[1], stride[2] if places > 1 else 1),
            1 if low is None else max(1, _bits(low, kind, word, number)),
            _ALL if high is None else _bits(high, kind, word, number),
            None if fan is None else fan.data_ptr(),
            0 if fan is None or fan.shape[0] == 1 else places,
        )

    def run(self, address: int) -> tuple[Tensor, Tensor | None, Any]:
        """Sums (2, N) of fan and of marks, marks by place, and largest, smallest, ... as found."""
        sums = torch.empty((2, self._rows), dtype=torch.int64)
        counts = None
        if self._counts_shape is not None:
            counts = torch.empty(self._counts_shape, dtype=torch.int32)
        found = _Found()
        kind, *arguments = self._arguments
        out = sums.data_ptr()
        status = _library.dse_scan(  # type: ignore[union-attr]
            kind,
            address,
            *arguments,
            out,
            out + 8 * self._rows,
            None if counts is None else counts.data_ptr(),
            found,
        )
        if status:
            raise AssertionError(f"the kernel knows no kind {kind}")
        return sums, counts, found


def scan(
    x: Tensor,
    fan: Tensor | None = None,
    *,
    wants_counts: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Scanned:
    """Mark the elements with low <= abs(x) <= high (default: all that are not zero).

    x : (N, C, P) on the CPU, any strides
    fan : int32 (1 or C, P), contiguous, or none: totals 0
    """
    _, channels, _ = x.shape
    is_shared = channels > 1 and (fan is None or fan.shape[0] == 1)
    if x.stride(2) != 1 and not (is_shared and x.stride(1) == 1):
        x = x.contiguous()
    if wants_counts and channels > 1 and not is_shared:
        counted = scan(x, wants_counts=True, low=low, high=high).counts
        return scan(x, fan, low=low, high=high)._replace(counts=counted)
    shape, stride = tuple(x.shape), x.stride()
    ready = Pass(x.dtype, shape, stride, fan, wants_counts=wants_counts, low=low, high=high)  # type: ignore[arg-type]
    sums, counts, found = ready.run(x.data_ptr())
    largest, smallest, negative, ones, marked = found
    totals, marks = sums.numpy()
    return Scanned(totals, marks, counts, largest, smallest, negative != 0, int(ones), int(marked))


def is_direct(x: Tensor, fan: Tensor | None) -> bool:
    """Whether a pass can run over (N, C, P) as it lies, without a copy."""
    is_shared = x.shape[1] > 1 and (fan is None or fan.shape[0] == 1)
    return x.stride(2) == 1 or x.shape[2] == 1 or (is_shared and x.stride(1) == 1)


def _bits(value: float, kind: int, word: str, number: str) -> int:
    """The bit pattern of a magnitude; for bfloat16 the upper half of that of float32."""
    if kind == 0:
        return int(value)
    if value > torch.finfo(_DTYPES[kind]).max:
        return _ALL
    (bits,) = struct.unpack(word, struct.pack(number, value))
    return bits >> 16 if kind == 2 else bits
