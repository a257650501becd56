"""Tensors and options of saved encoders: the BERT family of Hugging Face, to which MiniLM belongs, and DistilBERT's."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from kd_jax.config.errors import UserError, suggest
from kd_jax.core.network import Network
from kd_jax.interop.language_weights import Number, SavedTensors, Size, check_saved
from kd_jax.language.encoder import Encoder

SECOND_BIAS = 'cls.predictions.decoder.bias'  # of BERT, equal to the bias of its family; needed if words are not tied
NOT_READ = ('pooler.', 'cls.seq_relationship.', 'embeddings.position_ids', SECOND_BIAS)
NORM_EPSILON = 1e-12  # of DistilBERT, whose config.json says none
OLD = {'.gamma': '.weight', '.beta': '.bias'}  # of layer norms in the files of 2018


class Family(NamedTuple):
    """How a family names what it saves.

    Attributes:
      prefix: the begin of the names of all tensors but those of the head, unless the file has no head.
      modules: their name of each of our modules; '{}' is the number of a layer, from 0.
      bias: their name of the bias of each word.
      words: their name of the weights of a head that is not tied.
      options: the key in config.json of each of our options.
      activation: the key of the activation function.
      architectures: their classes of models without and with a head.
    """

    prefix: str
    modules: Mapping[str, str]
    bias: str
    words: str
    options: Mapping[str, str]
    activation: str
    architectures: tuple[str, str]

    def names(self) -> dict[str, str]:
        """The name of each tensor by its path in our parameters."""
        leaves = {'embedding': 'weight', 'kernel': 'weight', 'scale': 'weight', 'bias': 'bias'}
        every = {
            f'{ours}/{leaf}': f'{theirs}.{name}'
            for ours, theirs in self.modules.items()
            for leaf, name in leaves.items()
        }
        return {**every, 'bias': self.bias, 'words': self.words}


EMBEDDINGS = {
    'embedding': 'embeddings.word_embeddings', 'positions': 'embeddings.position_embeddings',
    'types': 'embeddings.token_type_embeddings', 'embedding_norm': 'embeddings.LayerNorm',
}  # fmt: skip
BERT = {
    'query': 'attention.self.query', 'key': 'attention.self.key', 'value': 'attention.self.value',
    'output': 'attention.output.dense', 'attention_norm': 'attention.output.LayerNorm', 'up': 'intermediate.dense',
    'down': 'output.dense', 'mlp_norm': 'output.LayerNorm',
}  # fmt: skip
DISTILBERT = {
    'query': 'attention.q_lin', 'key': 'attention.k_lin', 'value': 'attention.v_lin', 'output': 'attention.out_lin',
    'attention_norm': 'sa_layer_norm', 'up': 'ffn.lin1', 'down': 'ffn.lin2', 'mlp_norm': 'output_layer_norm',
}  # fmt: skip
FAMILIES = {
    'bert': Family(
        prefix='bert.',
        modules={
            **EMBEDDINGS,
            **{f'blocks/{ours}': f'encoder.layer.{{}}.{theirs}' for ours, theirs in BERT.items()},
            'transform': 'cls.predictions.transform.dense',
            'transform_norm': 'cls.predictions.transform.LayerNorm',
        },
        bias='cls.predictions.bias',
        words='cls.predictions.decoder.weight',
        options=dict(
            vocabulary='vocab_size', width='hidden_size', layers='num_hidden_layers', heads='num_attention_heads',
            mlp_width='intermediate_size', window='max_position_embeddings', token_types='type_vocab_size',
            norm_epsilon='layer_norm_eps',
        ),
        activation='hidden_act',
        architectures=('BertModel', 'BertForMaskedLM'),
    ),
    'distilbert': Family(
        prefix='distilbert.',
        modules={
            **EMBEDDINGS,
            **{f'blocks/{ours}': f'transformer.layer.{{}}.{theirs}' for ours, theirs in DISTILBERT.items()},
            'transform': 'vocab_transform',
            'transform_norm': 'vocab_layer_norm',
        },
        bias='vocab_projector.bias',
        words='vocab_projector.weight',
        options=dict(
            vocabulary='vocab_size', width='dim', layers='n_layers', heads='n_heads', mlp_width='hidden_dim',
            window='max_position_embeddings',
        ),
        activation='activation',
        architectures=('DistilBertModel', 'DistilBertForMaskedLM'),
    ),
}  # fmt: skip
TYPES = {
    'type_vocab_size': Annotated[int, Meta(ge=0, lt=2**31)], 'layer_norm_eps': Number, 'tie_word_embeddings': bool,
    'is_decoder': bool, 'position_embedding_type': str | None, 'hidden_act': str, 'activation': str,
}  # fmt: skip


def of_encoder(
    config: Mapping[str, Any], saved: SavedTensors, network: Network, where: str
) -> tuple[dict[str, Any], dict[str, str], SavedTensors]:
    """What was saved of an encoder, so that it fits a network.

    Args:
      config: what config.json holds.
      saved: the tensors.
      network: the network; without a head for words, that of the file is left out, and where the file has none, the
        network's must start fresh.
      where: the file, for messages.
    Returns:
      the options of the saved encoder, the name of each tensor by its path in our parameters, and the tensors.
    Raises:
      UserError: the family, its activation or its kind of positions is not known, or an option is missing.
    """
    kind = config.get('model_type', '')
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UserError(
            f'{where} has the model_type {kind!r}, which is no encoder that is known. {suggest(str(kind), [*FAMILIES])}'
        )
    family = FAMILIES[kind]
    names = family.names()
    missing = [name for name in family.options.values() if name not in config]
    if missing:
        raise UserError(f'{where} says no {", ".join(missing)}; take a complete file.')
    check_saved(config, dict.fromkeys(family.options.values(), Size) | TYPES, where)
    absolute = config.get('position_embedding_type') in (None, 'absolute') and not config.get('is_decoder', False)
    if config.get(family.activation, 'gelu') != 'gelu' or not absolute:
        raise UserError(f'{where} has another activation than gelu, relative positions, or a causal mask, which no '
                        'encoder here has.')  # fmt: skip
    options = {ours: config[theirs] for ours, theirs in family.options.items()}
    options = {'token_types': 0, 'norm_epsilon': NORM_EPSILON, **options}
    found = {_own_name(name, family.prefix): name for name in saved.shapes}
    head = {name for ours, name in names.items() if _is_of_head(ours)}
    if network.module.head == 'none':
        found = {own: name for own, name in found.items() if own not in head}
    elif family.bias in found:
        tied = config.get('tie_word_embeddings', True)
        options['head'] = 'tied' if tied else 'own'
        found = {own: name for own, name in found.items() if not (tied and own == family.words)}
    shapes = {own: saved.shapes[name] for own, name in found.items() if not own.startswith(NOT_READ)}
    return options, names, SavedTensors(saved.origin, shapes, lambda name: saved.read(found[name]))


def encoder_config(module: Encoder) -> dict[str, Any]:
    """The config.json of an encoder: of the family BERT, or of DistilBERT if it has no kinds of tokens.

    Raises:
      UserError: DistilBERT has another epsilon.
    """
    kind, family = _family_of(module)
    if 'norm_epsilon' not in family.options and module.norm_epsilon != NORM_EPSILON:
        raise UserError(
            f'the encoder has token_types=0 and norm_epsilon={module.norm_epsilon:g}, but DistilBERT, the family '
            f'without kinds of tokens, has {NORM_EPSILON:g}; train it with that, or with token_types=2.'
        )
    return {theirs: getattr(module, ours) for ours, theirs in family.options.items()} | {
        'architectures': [family.architectures[module.head != 'none']],
        'model_type': kind,
        family.activation: 'gelu',
        'tie_word_embeddings': module.head != 'own',
        'torch_dtype': 'float32',
    }


def encoder_names(module: Encoder) -> dict[str, str]:
    """The name of each tensor of a saved encoder by its path in our parameters; '{}' is the number of a layer."""
    _, family = _family_of(module)
    prefix = '' if module.head == 'none' else family.prefix
    return {ours: name if _is_of_head(ours) else prefix + name for ours, name in family.names().items()}


def _family_of(module: Encoder) -> tuple[str, Family]:
    kind = 'bert' if module.token_types else 'distilbert'
    return kind, FAMILIES[kind]


def _is_of_head(path: str) -> bool:
    return path in ('bias', 'words') or path.startswith('transform')


def _own_name(name: str, prefix: str) -> str:
    """The name of a tensor without the prefix of its family, and with today's names of layer norms."""
    name = name.removeprefix(prefix)
    for old, new in OLD.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name
