"""Models: flax.linen modules that return a dict of named activations; a classifier's dict has 'logits'.

The name of a model here is its name in a config, and its fields are its options there. The networks of the CIFAR
literature have their usual names: 'resnet20' is `cifar_resnet` with depth=20, 'wrn_16_2' is `wide_resnet` with
depth=16, width=2. Language models have the names under which their weights are published.
"""

import functools

from kd_jax.language.decoder import Decoder as decoder
from kd_jax.language.encoder import Encoder as encoder
from kd_jax.models.adversarial_examples import PGD as pgd
from kd_jax.models.cnn import CNN as cnn
from kd_jax.models.connectors import Classifier as classifier
from kd_jax.models.connectors import Connector as connector
from kd_jax.models.connectors import Fusion as fusion
from kd_jax.models.connectors import Gate as gate
from kd_jax.models.connectors import GatedAverage as gated_average
from kd_jax.models.connectors import MaskedGenerator as masked_generator
from kd_jax.models.connectors import Noise as noise
from kd_jax.models.connectors import Paraphraser as paraphraser
from kd_jax.models.connectors import Projector as projector
from kd_jax.models.connectors import Translator as translator
from kd_jax.models.connectors import Variational as variational
from kd_jax.models.discriminator import Discriminator as discriminator
from kd_jax.models.example_memory import Embedding as embedding
from kd_jax.models.example_memory import MemoryBank as memory_bank
from kd_jax.models.example_memory import Recall as recall
from kd_jax.models.expert_logits import CombinedExperts as combined_experts
from kd_jax.models.expert_logits import SubsetLogits as subset_logits
from kd_jax.models.first_batch_z import FirstBatchZ as first_batch_z
from kd_jax.models.first_bytes import FirstBytes as first_bytes
from kd_jax.models.generator import Generator as generator
from kd_jax.models.known_tokens import KnownTokens as known_tokens
from kd_jax.models.learned_temperature import Temperature as temperature
from kd_jax.models.mlp import MLP as mlp
from kd_jax.models.pointnet import PointNet as pointnet
from kd_jax.models.pointnet import StrokePoints as stroke_points
from kd_jax.models.resnet import cifar_resnet, resnet
from kd_jax.models.top_k_targets import TopK as top_k
from kd_jax.models.vgg import VGG as vgg
from kd_jax.models.wide_resnet import WideResNet as wide_resnet

WIDE = (32, 64, 128, 256)
resnet8, resnet14, resnet20, resnet32, resnet44, resnet56, resnet110 = (
    functools.partial(cifar_resnet, depth=depth) for depth in (8, 14, 20, 32, 44, 56, 110)
)
resnet8x4, resnet32x4 = (functools.partial(cifar_resnet, depth=depth, channels=WIDE) for depth in (8, 32))
resnet18, resnet34, resnet50, resnet101, resnet152 = (
    functools.partial(resnet, depth=depth) for depth in (18, 34, 50, 101, 152)
)
wrn_16_1, wrn_16_2, wrn_40_1, wrn_40_2 = (
    functools.partial(wide_resnet, depth=depth, width=width) for depth in (16, 40) for width in (1, 2)
)
vgg8, vgg11, vgg13, vgg16, vgg19 = (functools.partial(vgg, depth=depth) for depth in (8, 11, 13, 16, 19))
smollm2_135m = functools.partial(
    decoder, vocabulary=49152, width=576, layers=30, heads=9, kv_heads=3, mlp_width=1536, window=8192, rotary_base=1e5
)
qwen2_0_5b = functools.partial(
    decoder, vocabulary=151936, width=896, layers=24, heads=14, kv_heads=2, mlp_width=4864, window=32768,
    rotary_base=1e6, norm_epsilon=1e-6, qkv_bias=True,
)  # fmt: skip
llama3_1b = functools.partial(
    decoder, vocabulary=128256, width=2048, layers=16, heads=32, kv_heads=8, mlp_width=8192, window=131072,
    rotary_base=5e5, rotary_scaling=(32.0, 1.0, 4.0, 8192.0),
)  # fmt: skip
llama3_8b = functools.partial(
    decoder, vocabulary=128256, width=4096, layers=32, heads=32, kv_heads=8, mlp_width=14336, window=131072,
    rotary_base=5e5, rotary_scaling=(8.0, 1.0, 4.0, 8192.0), tied=False,
)  # fmt: skip
bert_base = functools.partial(encoder, vocabulary=30522, width=768, layers=12, heads=12, mlp_width=3072)
distilbert_base = functools.partial(bert_base, layers=6, token_types=0)
minilm_l6 = functools.partial(encoder, vocabulary=30522, width=384, layers=6, heads=12, mlp_width=1536, head='none')

__all__ = [
    'bert_base', 'cifar_resnet', 'classifier', 'cnn', 'combined_experts', 'connector', 'decoder', 'discriminator',
    'distilbert_base', 'embedding', 'encoder', 'first_batch_z', 'first_bytes', 'fusion', 'gate', 'gated_average',
    'generator', 'known_tokens', 'llama3_1b', 'llama3_8b', 'masked_generator', 'memory_bank', 'minilm_l6', 'mlp',
    'noise', 'paraphraser', 'pgd', 'pointnet', 'projector', 'qwen2_0_5b', 'recall', 'resnet', 'resnet8', 'resnet8x4',
    'resnet14', 'resnet18', 'resnet20', 'resnet32', 'resnet32x4', 'resnet34', 'resnet44', 'resnet50', 'resnet56',
    'resnet101', 'resnet110', 'resnet152', 'smollm2_135m', 'stroke_points', 'subset_logits', 'temperature', 'top_k',
    'translator', 'variational', 'vgg', 'vgg8', 'vgg11', 'vgg13', 'vgg16', 'vgg19', 'wide_resnet', 'wrn_16_1',
    'wrn_16_2', 'wrn_40_1', 'wrn_40_2',
]  # fmt: skip
