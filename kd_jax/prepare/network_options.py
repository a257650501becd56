"""The options of a network in a run's config, beside those of its model."""

from kd_jax.config.described import REQUIRED, Described

NETWORK_OPTIONS = {
    'model': Described("name of the model, or your own function or class 'package.module:function'", REQUIRED, 'text'),
    'input': Described('the paths of the positional arguments of the model', 'batch.image', 'path, list of paths'),
    'update': Described(
        "how its parameters change: 'sgd' (its optimizer trains them), 'follow' (they follow the network `of` by a "
        "rule), 'frozen' (never), 'shared' (they are those of the networks `of`)",
        'sgd',
        "'sgd', 'follow', 'frozen', 'shared'",
    ),
    'optimizer': Described("for update='sgd': its own optimizer", 'that of the run', 'dictionary'),
    'of': Described(
        "for update='follow' or 'shared': the other network; for models that are a function of several, a list. "
        "'~NAME' takes its parameters as constants, so that no gradient reaches them",
        '',
        'name, list of names',
    ),
    'init': Described(
        "its initial weights: 'run:NAME' or 'run:NAME/NETWORK' (of another run; with '@best' behind it, those of the "
        "best evaluation), 'torch:FILE' (PyTorch or safetensors), 'gguf:FILE' or 'huggingface:DIRECTORY' (of a "
        "language model; the directory may be a .zip file), or the directory of a run; '' draws them",
        '',
        'text',
    ),
    'fresh': Described('top-level modules that are drawn although `init` has them', (), 'name, list of names'),
    'part': Described('the only top-level modules that are taken from `init`; () for all', (), 'name, list of names'),
    'init_layers': Described(
        'for models with a stack of layers, such as decoders: the layers of `init`, counted from 1, that its layers '
        'start from; () for all',
        (),
        'tuple of whole numbers',
    ),
    'like': Described(
        "take over the model and its options from a network of another run: 'run:NAME' or 'run:NAME/NETWORK'",
        None,
        'text',
    ),
    'copies': Described(
        'number of copies with weights of their own; 0 for one network without an axis of copies',
        0,
        'whole number, 0 to 1000',
    ),
    'own_batches': Described('each copy reads its own part of the batch', False, 'True, False'),
    'normalize': Described(
        'normalise its first input: (image - mean) / std, with one number or one for each channel',
        None,
        'dict(mean=, std=)',
    ),
    'compute_dtype': Described('the precision in which it runs', 'that of the run', "'float32', 'bfloat16'"),
    'sharding': Described(
        "'fsdp' splits its parameters and optimizer state over the devices of the axis `fsdp` of the mesh",
        'replicated',
        "'replicated', 'fsdp'",
    ),
    'rule': Described(
        "for update='follow': 'ema' (moving average), 'copy', or 'average' (the mean over the copies of the other)",
        'required to follow',
        "'ema', 'copy', 'average'",
    ),
    'every': Described("for update='follow': steps from one application of the rule to the next", 1, 'whole number'),
    'decay': Described("for rule='ema': decay of the average", 0.999, 'number between 0 and 1'),
    'warmup': Described(
        "for rule='ema': the n-th time, the decay is at most 1 - 1 / (n + 1), so that a young average is a plain mean",
        True,
        'True, False',
    ),
    'broadcast': Described("for rule='average': the copies take the mean back", False, 'True, False'),
}

# The options of a network that say how its run uses it. The others say what it is; `like` takes those over.
USE_KEYS = (
    'compute_dtype', 'fresh', 'init', 'init_layers', 'like', 'of', 'optimizer', 'own_batches', 'part', 'sharding',
    'update',
)  # fmt: skip
FOLLOW_KEYS = ('broadcast', 'decay', 'every', 'rule', 'warmup')  # with update='follow'
