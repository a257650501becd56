"""Reads the pickles in PyTorch's weight files with an interpreter of our own: it knows data, tensors and nothing else.

Python's unpickler reserves the memory that a pickle asks for (a memo index of 2^28 takes 4 GiB), and calls methods of
the objects that it made. Here memory and time are bounded by the size of the pickle.
"""

import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

AXES = 32  # of a tensor
KEYS = (str, bytes, int, float, bool, type(None))
DTYPES = {
    'DoubleStorage': np.float64, 'FloatStorage': np.float32, 'HalfStorage': np.float16,
    'BFloat16Storage': ml_dtypes.bfloat16, 'LongStorage': np.int64, 'IntStorage': np.int32, 'ShortStorage': np.int16,
    'CharStorage': np.int8, 'ByteStorage': np.uint8, 'BoolStorage': np.bool_,
}  # fmt: skip
VALUES = (
    'INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING',
    'SHORT_BINSTRING', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'BINBYTES', 'SHORT_BINBYTES',
    'BINBYTES8',
)  # fmt: skip
TUPLES = {'TUPLE': None, 'EMPTY_TUPLE': 0, 'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
PUT, GET = ('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'), ('GET', 'BINGET', 'LONG_BINGET')
CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}


class Refused(Exception):
    """A pickle names something that is not part of a tensor."""


class Storage(NamedTuple):
    """The numbers that tensors are views of: its key in the file, and the dtype."""

    key: str
    dtype: np.dtype


class Tensor(NamedTuple):
    """A view of a storage: offset, shape and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def load_pickle(file: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """Reads one pickle from a file, up to its end.

    Returns:
      the value, with `Tensor`s in it; and every storage that the pickle names, by its key.
    Raises:
      Refused: the pickle names a class or function that tensors are not made of.
      pickle.UnpicklingError, ValueError, TypeError, LookupError: it is damaged.
    """
    stack = _Stack()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == 'STOP':
            return stack.values[-1], stack.storages
        stack.apply(opcode.name, argument)
    raise pickle.UnpicklingError('it has no end')


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    numbers = (offset, *_axes(shape), *_axes(strides))
    if not isinstance(storage, Storage) or not all(isinstance(number, int) for number in numbers):
        raise pickle.UnpicklingError('a tensor of something else than a storage and whole numbers')
    return Tensor(storage, offset, shape, strides)


def _axes(numbers: Any) -> tuple[Any, ...]:
    if not isinstance(numbers, tuple) or len(numbers) > AXES:
        raise pickle.UnpicklingError(f'a shape that is not a tuple of at most {AXES} numbers')
    return numbers


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _ordered_dict() -> dict[Any, Any]:
    return {}


CALLED = {
    ('collections', 'OrderedDict'): _ordered_dict,
    ('torch', 'Size'): _axes,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
}
NAMED = {**CALLED, **{('torch', name): np.dtype(dtype) for name, dtype in DTYPES.items()}}


class _Stack:
    """The state of the interpreter: the values so far, where marks are among them, the memo and the storages."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def apply(self, name: str, argument: Any) -> None:
        """Applies one operation of a pickle, by its name in `pickletools`."""
        if name in VALUES:
            self.values.append(argument)
        elif name in CONSTANTS:
            self.values.append(CONSTANTS[name])
        elif name in TUPLES:
            self.values.append(tuple(self._last(TUPLES[name])))
        elif name in PUT:
            self.memo[len(self.memo) if argument is None else argument] = self.values[-1]
        elif name in GET:
            self.values.append(self.memo[argument])
        elif name in OPERATIONS:
            OPERATIONS[name](self, argument)
        elif name not in ('PROTO', 'FRAME'):
            raise Refused(f'the operation {name}')

    def _last(self, count: int | None) -> list[Any]:
        """Takes the last `count` values off the stack; those after the last mark if it is None."""
        start = self.marks.pop() if count is None else len(self.values) - count
        if not 0 <= start <= len(self.values):
            raise pickle.UnpicklingError('too few values')
        taken = self.values[start:]
        del self.values[start:]
        return taken

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.values))

    def _list(self, count: int | None) -> None:
        self.values.append(self._last(count))

    def _dict(self, count: int | None) -> None:
        self.values.append(_fill({}, self._last(count)))

    def _append(self, count: int | None) -> None:
        items = self._last(count)
        if not isinstance(self.values[-1], list):
            raise pickle.UnpicklingError('items of something that is not a list')
        self.values[-1].extend(items)

    def _set_items(self, count: int | None) -> None:
        items = self._last(count)
        _fill(self.values[-1], items)

    def _named(self, argument: Any) -> None:
        module, name = self._last(2) if argument is None else argument.split(' ', 1)
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in NAMED:
            raise Refused(f'{module}.{name}')
        self.values.append(NAMED[module, name])

    def _call(self, _: Any) -> None:
        function, arguments = self._last(2)
        if not any(function is known for known in CALLED.values()) or not isinstance(arguments, tuple):
            raise Refused(f'a call of {type(function).__name__}')
        self.values.append(function(*arguments))

    def _build(self, _: Any) -> None:
        """Drops the attributes of an object; those of a state_dict hold versions of modules."""
        self._last(1)

    def _persistent(self, _: Any) -> None:
        (pid,) = self._last(1)
        if not isinstance(pid, tuple) or len(pid) < 3 or pid[0] != 'storage' or not isinstance(pid[1], np.dtype):
            raise pickle.UnpicklingError('a persistent object that is not a storage')
        if not isinstance(pid[2], str) or any(view is not None for view in pid[5:]):
            raise pickle.UnpicklingError('a storage of a PyTorch before 0.4')
        self.values.append(self.storages.setdefault(pid[2], Storage(pid[2], pid[1])))


def _fill(mapping: Any, items: list[Any]) -> dict[Any, Any]:
    if not isinstance(mapping, dict) or len(items) % 2:
        raise pickle.UnpicklingError('items of something that is not a dictionary')
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, KEYS):  # the hash of nested tuples can exceed the stack of C
            raise pickle.UnpicklingError(f'a {type(key).__name__} as a key')
        mapping[key] = value
    return mapping


OPERATIONS: dict[str, Callable[[_Stack, Any], None]] = {
    'MARK': _Stack._mark,
    'LIST': lambda stack, _: stack._list(None),
    'EMPTY_LIST': lambda stack, _: stack._list(0),
    'DICT': lambda stack, _: stack._dict(None),
    'EMPTY_DICT': lambda stack, _: stack._dict(0),
    'APPEND': lambda stack, _: stack._append(1),
    'APPENDS': lambda stack, _: stack._append(None),
    'SETITEM': lambda stack, _: stack._set_items(2),
    'SETITEMS': lambda stack, _: stack._set_items(None),
    'GLOBAL': _Stack._named,
    'STACK_GLOBAL': _Stack._named,
    'REDUCE': _Stack._call,
    'BUILD': _Stack._build,
    'BINPERSID': _Stack._persistent,
}
