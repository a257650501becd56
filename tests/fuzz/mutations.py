"""Changes of what is valid, for hypothesis: of trees such as a config or a JSON file, of bytes, and of arrays."""

import copy

import numpy as np
from hypothesis import strategies as st

EXTREME = (
    0, -1, 1, 2, 3, 7, 1000, 2**31 - 1, 2**31, 2**63, 10**30, 10**400, -(2**70),
    0.0, -0.0, 0.5, -0.5, 1.5, 1e-30, 1e-320, 1e12, 1e30, 1e39, 1e308, float('inf'), float('-inf'), float('nan'),
)  # fmt: skip
TEXTS = (
    '', ' ', '.', '/', '..', '../x', '/x', '~', 'a', 'a.b', 'a:b', '*', '[a]', 'true', '3', 'None', 'auto', 'all',
    'a' * 5000, 'ü', '\u202e', '\n', '\0', '\x1b[31m', '\ud800', '[bold]', ':one:', '<script>', '%s', '{}', '{0.x}',
    'batch', 'batch.', 'batch.image', '~batch.label', 'student.logits', '~student.logits', 'teacher.hidden1', '.logits',
    'run:', 'run:teacher', 'run:teacher/student', 'run:teacher/', 'result:', 'result:teacher', 'result:teacher.last',
    'result:teacher.seconds', 'torch:', 'torch:/nowhere.pth', 'json:loads', 'json:', ':', 'no_module:name', 'math:pi',
    'fractions:Fraction', 'mlp', 'kd', 'cross_entropy', 'sgd', 'mnist', 'ema', 'best', 'float16', 'int32', 'errors',
)  # fmt: skip
JSON_VALUES = (None, True, False, [], {}, [None], [1], [[]], [[1.0, 2.0]], {'a': 1}, {'': None}, *TEXTS)
ODD = (
    len, int, object, {1, 2}, b'bytes', 1j, (), (1,), (0,), (1.0, 2.0), ((),), {3: 4}, {None: 1}, range(3),
    np.zeros(3), np.float32(2), np.int64(3), np.array('x'),
    {'schedule': 'linear'}, {'schedule': 'linear', 'start': 1.0, 'end': 0.0}, {'schedule': 'cosine', 'peak': 0.1},
    {'name': 'sgd', 'learning_rate': 0.1}, {'loss': 'kd'}, {'model': 'mlp'}, {'metrics': 'regression'},
)  # fmt: skip


def paths(tree, at=()):
    """The path of every node below the root."""
    found = []
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list | tuple) else ()
    for key in keys:
        found += [(*at, key), *paths(tree[key], (*at, key))]
    return found


def node(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def replaced(tree, path, change):
    """The tree, changed: `change(parent, key)` works on a copy of the parent, as a dictionary or list."""
    copied = list(tree) if isinstance(tree, tuple) else copy.copy(tree)
    if len(path) == 1:
        change(copied, path[0])
    else:
        copied[path[0]] = replaced(copied[path[0]], path[1:], change)
    return tuple(copied) if isinstance(tree, tuple) else copied


@st.composite
def changed_tree(draw, base, others=(), values=(*EXTREME, *JSON_VALUES), most=3):
    """A tree with a few changes: other values, removed or mistyped keys, parts from elsewhere, other kinds."""
    sources = [base, *others]
    tree = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, most))):
        places = paths(tree)
        if not places:
            break
        path = draw(st.sampled_from(places))
        old = node(tree, path)
        kind = draw(st.sampled_from(('value', 'value', 'near', 'near', 'part', 'drop', 'rename', 'add')))
        if kind == 'drop':
            tree = replaced(tree, path, lambda parent, key: parent.pop(key))
        elif kind == 'rename':
            new = draw(mistyped(str(path[-1])))
            tree = replaced(tree, path, lambda parent, key, new=new: _rename(parent, key, new))
        elif kind == 'add':
            source = draw(st.sampled_from(sources))
            origin = draw(st.sampled_from(paths(source)))
            new = copy.deepcopy(node(source, origin))
            tree = replaced(tree, path, lambda parent, key, new=new, name=origin[-1]: _add(parent, key, name, new))
        else:
            new = draw(_another(kind, old, sources, values))
            tree = replaced(tree, path, lambda parent, key, new=new: parent.__setitem__(key, new))
    return tree


@st.composite
def _another(draw, kind, old, sources, values):
    """Another value in place of `old`: any value, one like it, or a part of a source."""
    if kind == 'part':
        source = draw(st.sampled_from(sources))
        return copy.deepcopy(node(source, draw(st.sampled_from(paths(source)))))
    near = _near(old)
    return copy.deepcopy(draw(st.sampled_from(near if kind == 'near' and near else values)))


def _near(old):
    """Values that differ from `old` by a little, or by their type alone."""
    if isinstance(old, bool):
        return [not old, int(old), str(old)]
    if isinstance(old, int | float):
        return [old + 1, old - 1, -old, old * 1000, str(old), [old], {'a': old}, *_numbers_like(old)]
    if isinstance(old, str):
        return [
            old + 'x',
            old[1:],
            old.upper(),
            old.replace('.', '/'),
            old.replace(':', '.'),
            f'~{old}',
            [old],
            (old, old),
        ]
    if isinstance(old, list | tuple):
        return [list(old), tuple(old), [*old, *old], old[1:], [old], {str(i): one for i, one in enumerate(old)}]
    if isinstance(old, dict):
        return [{}, list(old), list(old.values()), {'a': old}, {**old, 'x': 1}, dict.fromkeys(old)]
    return []


def _numbers_like(old):
    return [old / 3, float(old), int(old)] if abs(old) < 1e300 else []


def mistyped(name):
    return st.sampled_from(
        [name + 's', name[1:], name[::-1], name.upper(), f'{name}.{name}', f'/{name}', '', 'x', name * 200]
    )


def _rename(parent, key, new):
    if isinstance(parent, dict):
        parent[new] = parent.pop(key)
    else:
        parent[key] = new


def _add(parent, key, name, value):
    if isinstance(parent, dict):
        parent[name] = value
    else:
        parent.insert(key, value)


@st.composite
def changed_bytes(draw, content, most=3):
    """Bytes that were damaged: flipped, overwritten, inserted, removed, repeated, cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(('flip', 'flip', 'set', 'insert', 'remove', 'repeat', 'cut')))
        size = draw(st.sampled_from((1, 2, 4, 8, 100)))
        if kind == 'flip' and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 'set':
            content[at : at + size] = draw(st.sampled_from((b'\0', b'\xff', b'\x7f', b'0', b'9', b'"', b'.'))) * size
        elif kind == 'insert':
            content[at:at] = draw(st.binary(min_size=size, max_size=size))
        elif kind == 'remove':
            del content[at : at + size]
        elif kind == 'repeat':
            content[at:at] = content[at : at + size]
        else:
            del content[at:]
    return bytes(content)


DTYPES = (
    '?',
    'i1',
    'u1',
    'i2',
    'u4',
    'i4',
    'i8',
    'u8',
    '>i4',
    'f2',
    'f4',
    'f8',
    '>f8',
    'g',
    'c8',
    'M8[s]',
    'm8[s]',
    'S3',
    'U3',
)


@st.composite
def changed_array(draw, array):
    """An array of another dtype, shape, length or content."""
    kind = draw(st.sampled_from(('dtype', 'dtype', 'shape', 'length', 'value', 'scale', 'odd')))
    if kind == 'dtype':
        with np.errstate(all='ignore'):
            return array.astype(draw(st.sampled_from(DTYPES)))
    if kind == 'shape':
        shapes = [(*array.shape, 1), (1, *array.shape), array.shape[::-1], (-1,), (len(array), -1), (0, 5), ()]
        shape = draw(st.sampled_from(shapes))
        return array.reshape(shape) if 0 not in shape and shape else np.zeros(shape, array.dtype)
    if kind == 'length':
        return array[: draw(st.sampled_from((0, 1, 3, -1)))]
    if kind == 'odd':
        odd = [np.array(None), np.array([('a', 1)], [('name', 'U1'), ('n', 'i4')]), np.zeros((4, 0)), np.array('x'),
               np.zeros((2,) * 20, 'u1'), np.array([[]]), np.array(['cat', 'dog'] * 20)]  # fmt: skip
        return draw(st.sampled_from(odd))
    kinds = {'b': (True,), 'i': (-1, 3, 127), 'u': (3, 127), 'f': EXTREME[12:]}.get(array.dtype.kind, ())
    if not kinds:
        return array
    with np.errstate(all='ignore'):
        value = np.array(draw(st.sampled_from(kinds))).astype(array.dtype)
        changed = array.copy()
        if kind == 'value':
            changed[draw(st.integers(0, len(array) - 1))] = value
            return changed
        return changed * value
