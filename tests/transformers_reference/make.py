"""What the transformers library gives for random weights: writes expected.npz and a folder for each family. Run once.

  pip install torch transformers numpy && python tests/transformers_reference/make.py

Written with torch 2.13.0 and transformers 5.24.0. The second row of the tokens has three tokens of padding on its left.
"""

import pathlib

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

HERE = pathlib.Path(__file__).parent
SIZES = dict(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
SCALED = dict(
    rope_type='llama3', rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=64,
)  # fmt: skip
MODELS = {
    'llama3': LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=8, rms_norm_eps=1e-5, rope_parameters=SCALED)),
    'smollm2': LlamaForCausalLM(LlamaConfig(**SIZES, rms_norm_eps=1e-5, tie_word_embeddings=True)),
    'qwen2': Qwen2ForCausalLM(Qwen2Config(**SIZES, rms_norm_eps=1e-6, tie_word_embeddings=True)),
}
PADDING = 3


def main():
    torch.manual_seed(0)
    tokens = torch.randint(0, 40, (2, 9))
    mask = torch.ones_like(tokens)
    mask[1, :PADDING] = 0
    expected = {'tokens': tokens.numpy(), 'mask': mask.numpy()}
    for name, model in MODELS.items():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.2 * torch.randn(parameter.shape) + (parameter.dim() == 1))
        if name == 'smollm2':
            model = model.bfloat16()
        model.save_pretrained(HERE / name, max_shard_size='6KB' if name == 'llama3' else '1MB')
        (HERE / name / 'generation_config.json').unlink()
        with torch.no_grad():
            positions = torch.clamp(mask.cumsum(1) - 1, min=0)
            out = model.float().eval()(tokens, attention_mask=mask, position_ids=positions, output_hidden_states=True)
        expected[f'{name}/logits'] = out.logits.numpy()
        expected[f'{name}/hidden1'] = out.hidden_states[1].numpy()
    np.savez_compressed(HERE / 'expected.npz', **expected)


if __name__ == '__main__':
    main()
