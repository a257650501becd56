"""Adapters of published implementations to the names and arrays of the test vectors.

Each function imports its package and returns an adapter; where that does more than to convert, published.py says so. A
package that does not import beside the others gives one of its files alone (`file_of`): the published code runs.
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array, dtype=torch.float32 if array.dtype.kind == 'f' else torch.int64) for array in arrays]


def flat(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors(*arrays)]


def file_of(package: str, path: str, **stubs: types.ModuleType) -> types.ModuleType:
    """The module of one file of an installed package; `stubs` stand for modules that it imports but does not need."""
    found = next(file for file in importlib.metadata.files(package) or () if str(file) == path)
    spec = importlib.util.spec_from_file_location(path.replace('/', '_')[:-3], found.locate())
    module = importlib.util.module_from_spec(spec)
    before = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old
    return module


def torchdistill(name: str, **options: Any) -> Callable[..., torch.Tensor]:
    losses = importlib.import_module('torchdistill.losses.mid_level')
    kind = getattr(losses, name)
    paths = {key: 'x' for key in inspect.signature(kind.__init__).parameters if key.endswith('_path')}
    ios = {key: 'output' for key in inspect.signature(kind.__init__).parameters if key.endswith('_io')}

    def loss(student: torch.Tensor, teacher: torch.Tensor, labels: Any = None, **more: Any) -> torch.Tensor:
        made = kind(**paths, **ios, **options, **more)
        return made({'x': {'output': student}}, {'x': {'output': teacher}}, labels)

    return loss


def torchdistill_kd(name: str) -> Callable[..., Any]:
    loss = torchdistill(name, alpha=0.5, beta=1.0)

    def adapter(student, teacher, t, deviation=None):
        z, v = tensors(student, teacher)
        labels = torch.zeros(len(z), dtype=torch.int64)
        return loss(z, v, labels, temperature=t) - 0.5 * torch.nn.functional.cross_entropy(z, labels)

    return adapter


def torchdistill_pair(name: str, t: str = '', **options: Any) -> Callable[..., Any]:
    loss = torchdistill(name, **options)

    def adapter(student, teacher, form=None, **given):
        return loss(*tensors(student, teacher), **({t: given['t']} if t else {}))

    return adapter


def trl_jsd(module: str, trainer: str, **fixed: Any) -> Callable[..., Any]:
    loss = getattr(importlib.import_module(module), trainer).generalized_jsd_loss

    def adapter(student, teacher, t=1.0, beta=None):
        z, v = (tensor[None] for tensor in flat(student, teacher))
        every = torch.zeros(z.shape[:2], dtype=torch.int64)
        return loss(z, v, labels=every, temperature=t, **(fixed or {'beta': beta}))

    return adapter


def trl_chunked(**fixed: Any) -> Callable[..., Any]:
    loss = importlib.import_module('trl.trainer.distillation_trainer')._chunked_divergence_loss

    def adapter(student, teacher, t=1.0, beta=None):
        z, v = (tensor[None] for tensor in flat(student, teacher))
        head, every = torch.eye(z.shape[-1]), torch.ones(z.shape[:2])
        return loss(z, v, head, head, every, temperature=t, **(fixed or {'beta': beta}))[0]

    return adapter


def trl_top_k() -> Callable[..., Any]:
    server = importlib.import_module('trl.experimental.server_distillation.server_distillation_trainer')
    trainer = server.ServerDistillationTrainer

    def adapter(student, teacher, k, t):
        z, v = (torch.log_softmax(tensor[None] / t, dim=-1) for tensor in flat(student, teacher))
        kept, ids = v.topk(k, dim=-1)
        own = types.SimpleNamespace(loss_add_tail=True, _reduce_divergence_loss=trainer._reduce_divergence_loss)
        result = {'topk_logprobs': kept, 'topk_token_ids': ids}
        return trainer._compute_server_forward_kl_loss(own, result, z, torch.zeros(z.shape[:2]))

    return adapter


def ignored(tokens: np.ndarray, mask: np.ndarray) -> torch.Tensor:
    """Labels as PyTorch codes take them: -100 where a token is no target."""
    return torch.tensor(np.where(mask > 0, tokens, -100))


def trl_trainer() -> Callable[..., Any]:
    gkd = importlib.import_module('trl.experimental.gkd').GKDTrainer

    def adapter(student, teacher, tokens, mask, t, loss):
        z, v = tensors(student, teacher)
        own = types.SimpleNamespace(beta=0.0, generalized_jsd_loss=gkd.generalized_jsd_loss, teacher_model=Fixed(v))
        inputs = {'input_ids': None, 'attention_mask': None, 'labels': ignored(tokens, mask)}
        return gkd.compute_loss(own, Fixed(z), inputs)

    return adapter


class Fixed:
    """A model that returns the logits that it was given."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.output = types.SimpleNamespace(logits=logits)

    def eval(self) -> None:
        pass

    def __call__(self, **inputs: Any) -> types.SimpleNamespace:
        return self.output


def hugging_face_labels() -> Callable[..., Any]:
    causal = importlib.import_module('transformers.loss.loss_utils').ForCausalLMLoss

    def adapter(student, teacher, tokens, mask, t, loss):
        return causal(*tensors(student), ignored(tokens, mask), student.shape[-1])

    return adapter


def hugging_face_parts(count: bool) -> Callable[..., Any]:
    causal = importlib.import_module('transformers.loss.loss_utils').ForCausalLMLoss

    def adapter(student, tokens, mask):
        total = int(mask[..., 1:].sum()) if count else None
        each = [
            causal(*tensors(z), ignored(row, counts), z.shape[-1], num_items_in_batch=total)
            for z, row, counts in zip(student, tokens, mask, strict=True)
        ]
        return sum(each) if count else sum(each) / len(each)

    return adapter


def hugging_face_positions() -> Callable[..., Any]:
    mixin = importlib.import_module('transformers').GenerationMixin

    def adapter(mask, segments, layout):
        mask = torch.tensor(mask)
        return mixin._prepare_position_ids_for_generation(None, mask, {'attention_mask': mask})

    return adapter


def trl_positions() -> Callable[..., Any]:
    collator = importlib.import_module('trl.trainer.sft_trainer').DataCollatorForLanguageModeling

    def adapter(mask, segments, layout):
        lengths = [[int(np.sum(row == number)) for number in np.unique(row[row > 0])] for row in segments]
        found = collator.get_position_ids_from_packed_seq_lengths(lengths)
        return np.stack([np.pad(ids.numpy(), (0, segments.shape[1] - len(ids))) for ids in found])

    return adapter


def liger(**fixed: Any) -> Callable[..., Any]:
    loss = importlib.import_module('liger_kernel.chunked_loss').LigerFusedLinearJSDLoss

    def adapter(student, teacher, t=1.0, beta=None):
        z, v = flat(student, teacher)
        head, labels = torch.eye(z.shape[-1], requires_grad=True), torch.zeros(len(z), dtype=torch.int64)
        made = loss(0.0, 1.0, temperature=t, compiled=False, **(fixed or {'beta': beta}))
        return made(z.requires_grad_(), head, v, head.detach(), labels).detach()

    return adapter


def torchtune_reverse() -> Callable[..., Any]:
    loss = file_of('torchtune', 'torchtune/modules/loss/kd_losses.py').ReverseKLLoss()

    def adapter(student, teacher, t):
        z, v = flat(student, teacher)
        return loss(z, v, torch.zeros(len(z)))

    return adapter


def textbrewer() -> Callable[..., Any]:
    loss = importlib.import_module('textbrewer.losses').kd_ce_loss

    def adapter(student, teacher, t):
        z, v = tensors(student, teacher)
        return loss(z, v, temperature=t) - loss(v, v, temperature=t)

    return adapter


def modelopt(**options: Any) -> Callable[..., Any]:
    kind = importlib.import_module('modelopt.torch.distill.losses').LogitsDistillationLoss
    return lambda student, teacher, t: kind(temperature=t, **options)(*tensors(student, teacher))


def mmrazor(name: str, kind: str, **options: Any) -> Callable[..., Any]:
    registry = types.ModuleType('mmrazor.registry')
    registry.MODELS = types.SimpleNamespace(register_module=lambda: lambda own: own)  # type: ignore[attr-defined]
    stubs = {'mmrazor.registry': registry, 'mmrazor': types.ModuleType('mmrazor')}
    made = getattr(file_of('mmrazor', f'mmrazor/models/losses/{name}.py', **stubs), kind)
    return lambda **more: made(**options, **more)


def mmrazor_pair(name: str, kind: str, t: bool, **options: Any) -> Callable[..., Any]:
    made = mmrazor(name, kind, **options)

    def adapter(student, teacher, form=None, **given):
        return made(**({'tau': given['t']} if t else {}))(*tensors(student, teacher))

    return adapter


def mmrazor_dkd() -> Callable[..., Any]:
    made = mmrazor('decoupled_kd', 'DKDLoss')
    return lambda student, teacher, labels, t, alpha, beta: made(tau=t, alpha=alpha, beta=beta)(
        *tensors(student, teacher, labels)
    )


def kd_lib_kd() -> Callable[..., Any]:
    common = types.ModuleType('KD_Lib.KD.common')
    common.BaseClass = object  # type: ignore[attr-defined]
    stubs = {name: types.ModuleType(name) for name in ('KD_Lib', 'KD_Lib.KD')} | {'KD_Lib.KD.common': common}
    vanilla = file_of('kd-lib', 'KD_Lib/KD/vision/vanilla/vanilla_kd.py', **stubs).VanillaKD
    default = inspect.signature(vanilla.__init__).parameters['loss_fn'].default

    def adapter(student, teacher, t):
        own = types.SimpleNamespace(temp=t, distil_weight=1.0, loss_fn=default)
        z, v = tensors(student, teacher)
        return vanilla.calculate_kd_loss(own, z, v, torch.zeros(len(z), dtype=torch.int64))

    return adapter


def kd_lib_rkd() -> Callable[..., Any]:
    loss = file_of('kd-lib', 'KD_Lib/KD/vision/RKD/loss_metric.py').RKDDistanceLoss()
    return lambda student, teacher, form: loss(*tensors(teacher, student))


def tunix(top_k: bool) -> Callable[..., Any]:
    import jax.numpy as jnp

    base = file_of('google-tunix', 'tunix/distillation/strategies/base_strategy.py')
    strategies = types.ModuleType('tunix.distillation.strategies')
    strategies.base_strategy = base  # type: ignore[attr-defined]
    stubs = {name: types.ModuleType(name) for name in ('tunix', 'tunix.distillation')}
    stubs['tunix.distillation.strategies'] = strategies
    strategy = file_of('google-tunix', 'tunix/distillation/strategies/logit.py', **stubs).LogitStrategy

    def adapter(student, teacher, t, k=0):
        made = strategy(None, None, None, temperature=t, alpha=1.0, distill_top_k=k)
        z, v = jnp.asarray(student, jnp.float32), jnp.asarray(teacher, jnp.float32)
        return made.compute_loss(z, v, jnp.zeros_like(z))[0]

    return adapter


def distil_trainer() -> Callable[..., Any]:
    loss = file_of('distil-trainer', 'distil_trainer/distillation/losses.py').DistillationLosses.kl_divergence_loss
    return lambda student, teacher, t: loss(*tensors(student, teacher), temperature=t)
