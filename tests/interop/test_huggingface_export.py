"""Language models as they are written for `transformers`; our own reader reads them again."""

import dataclasses
import importlib.util
import json
import pathlib

import jax
import numpy as np
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core.network import Network
from kd_jax.data.chat_templates import prompt_of
from kd_jax.data.tokenizers import bytes_tokenizer, load_tokenizer
from kd_jax.interop.huggingface_export import save_huggingface
from kd_jax.interop.huggingface_weights import decoder_options, load_huggingface_weights
from tests.language.small_decoder import TOKENS, applied, decoder, weights
from tests.language.small_encoder import encoder

REFERENCE = pathlib.Path(__file__).parents[1] / 'transformers_reference'
DECODERS = {
    'llama3': decoder(head_dim=6, rotary_base=500.0, rotary_scaling=(4.0, 1.0, 4.0, 32.0), tied=False, qkv_bias=False),
    'smollm2': decoder(tied=True, qkv_bias=False),
    'qwen2': decoder(norm_epsilon=1e-6, qkv_bias=True),
}
ENCODERS = {
    'bert': encoder(norm_epsilon=1e-6), 'distilbert': encoder(token_types=0), 'minilm': encoder(head='none'),
    'own words': encoder(head='own'),
}  # fmt: skip
LIBRARY = pytest.mark.skipif(
    importlib.util.find_spec('transformers') is None or importlib.util.find_spec('torch') is None,
    reason='the packages torch and transformers are not installed',
)


def saved(directory, module, **options):
    """Random weights of a module, written to a directory; returns them."""
    variables = weights(module, sd=0.3)
    save_huggingface(directory, module, variables, **options)
    return variables


def config_of(directory, name='config.json'):
    return json.loads((directory / name).read_text())


@pytest.mark.parametrize('module', [*DECODERS.values(), *ENCODERS.values()])
def test_what_is_written_is_read_again(tmp_path, assert_bitwise, module):
    variables = saved(tmp_path, module)
    network = Network('student', module, (), init=f'huggingface:{tmp_path}')
    shapes = jax.eval_shape(module.init, jax.random.key(0), TOKENS)
    assert_bitwise(load_huggingface_weights(network, str(tmp_path), shapes, 'here'), variables)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['config.json', 'model.safetensors']


def test_a_written_config_says_what_that_of_transformers_says(tmp_path):
    for name in ('llama3', 'smollm2', 'qwen2'):
        theirs = config_of(REFERENCE / name)
        sizes = dict(vocabulary=40, width=16, layers=2, heads=4, kv_heads=2, mlp_width=24, window=256)
        more = {
            'llama3': dict(head_dim=8, rotary_base=500.0, rotary_scaling=(8.0, 1.0, 4.0, 64.0), tied=False),
            'smollm2': {}, 'qwen2': dict(norm_epsilon=1e-6, qkv_bias=True),
        }[name]  # fmt: skip
        module = DECODERS['smollm2'].clone(**sizes, **{'head_dim': 0, 'norm_epsilon': 1e-5, **more})
        saved(tmp_path, module)
        ours = config_of(tmp_path)
        assert decoder_options(ours, 'here') == decoder_options(theirs, 'there')
        same = ('architectures', 'model_type', 'hidden_act', 'max_position_embeddings', 'tie_word_embeddings')
        assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
        scaling = ours['rope_scaling'] or {}
        assert isinstance(scaling.get('original_max_position_embeddings', 0), int)
    for name in ('bert', 'distilbert', 'minilm'):
        theirs = config_of(REFERENCE / name)
        module = ENCODERS[name].clone(
            vocabulary=40, width=16, layers=2, heads=4, mlp_width=24, window=16, norm_epsilon=1e-12
        )
        saved(tmp_path, module)
        ours = config_of(tmp_path)
        assert ours == {key: theirs.get(key, own) for key, own in ours.items()}


def test_an_encoder_that_transformers_does_not_have_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r'token_types=0 and norm_epsilon=1e-06, but DistilBERT, .*, has 1e-12; train'):
        saved(tmp_path, encoder(token_types=0, norm_epsilon=1e-6))
    assert not list(tmp_path.iterdir())


def test_the_tokenizer_of_an_encoder_names_its_special_tokens(tmp_path):
    words = load_tokenizer('words')
    module = encoder(vocabulary=words.size, token_types=0)
    saved(tmp_path, module, tokenizer=words, chat='chatml')
    assert config_of(tmp_path)['pad_token_id'] == words.special['[PAD]']
    assert config_of(tmp_path, 'tokenizer_config.json') == {
        'tokenizer_class': 'PreTrainedTokenizerFast', 'model_input_names': ['input_ids', 'attention_mask'],
        'cls_token': '[CLS]', 'sep_token': '[SEP]', 'mask_token': '[MASK]', 'pad_token': '[PAD]',
        'unk_token': '[UNK]',
    }  # fmt: skip
    assert config_of(tmp_path, 'tokenizer.json')['model']['vocab']['[PAD]'] == words.special['[PAD]']
    saved(tmp_path, encoder(vocabulary=words.size), tokenizer=words)
    assert 'token_type_ids' in config_of(tmp_path, 'tokenizer_config.json')['model_input_names']


def test_a_chat_template_is_written_if_the_tokenizer_has_its_special_tokens(tmp_path):
    tokenizer = dataclasses.replace(bytes_tokenizer(), to_json=lambda: '{}')
    saved(tmp_path, decoder(vocabulary=260), tokenizer=tokenizer, chat='llama3')
    assert 'chat_template' not in config_of(tmp_path, 'tokenizer_config.json')
    saved(tmp_path, decoder(vocabulary=260), tokenizer=tokenizer, chat='chatml')
    assert '<|im_start|>' in config_of(tmp_path, 'tokenizer_config.json')['chat_template']


@LIBRARY
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', [*DECODERS, *ENCODERS])
def test_transformers_loads_what_is_written_and_gives_the_same_activations(tmp_path, name):
    import torch
    import transformers

    module = {**DECODERS, **ENCODERS}[name]
    variables = saved(tmp_path, module)
    kind = 'ForCausalLM' if name in DECODERS else '' if name == 'minilm' else 'ForMaskedLM'
    loader = getattr(transformers, f'AutoModel{kind}')
    model, told = loader.from_pretrained(tmp_path, output_loading_info=True)
    assert {key for keys in told.values() for key in keys} <= {'pooler.dense.bias', 'pooler.dense.weight'}
    with torch.no_grad():
        out = model(torch.tensor(TOKENS))
    theirs, key = (out.last_hidden_state, 'features') if name == 'minilm' else (out.logits, 'logits')
    np.testing.assert_allclose(applied(module, variables, TOKENS)[key], theirs.numpy(), rtol=1e-4, atol=1e-4)


@LIBRARY
@pytest.mark.filterwarnings('ignore')
def test_transformers_reads_the_tokenizer_of_an_encoder(tmp_path):
    import transformers

    words = load_tokenizer('words')
    saved(tmp_path, encoder(vocabulary=words.size, token_types=0), tokenizer=words)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = 'Zoë said: 12 naïve 猫s.'
    given = theirs(text)
    assert given['input_ids'] == [words.begin, *words.encode(text).ids, words.end]
    assert set(given) == {'input_ids', 'attention_mask'}
    assert (theirs.mask_token_id, theirs.pad_token_id) == (words.mask, words.special['[PAD]'])


@LIBRARY
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('chat', ['chatml', 'llama3'])
def test_transformers_writes_a_conversation_as_we_do(tmp_path, chat):
    tokenizers = pytest.importorskip('tokenizers', reason="needs pip install '.[language]'")
    import transformers

    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    level = tokenizers.pre_tokenizers.ByteLevel
    built.pre_tokenizer, built.decoder = level(False), tokenizers.decoders.ByteLevel()
    special = ['<|begin|>', '<|im_start|>', '<|im_end|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>']
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=special, initial_alphabet=level.alphabet(), vocab_size=280)
    built.train_from_iterator(['user system assistant'], trainer)
    built.save(str(tmp_path / 'tokenizer.json'))
    ours = load_tokenizer(f'json:{tmp_path}/tokenizer.json')
    ours = dataclasses.replace(ours, begin=0) if chat == 'llama3' else ours
    saved(tmp_path, decoder(vocabulary=ours.size), tokenizer=ours, chat=chat)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    talk = (('system', 'Be "brief".'), ('user', 'two\nlines, {{ braces }}'), ('assistant', ' Yes.'), ('user', "It's 1"))
    tokens = [0] if chat == 'llama3' else []
    for part in prompt_of(talk, chat):
        tokens += [ours.special[part.text]] if part.special else ours.encode(part.text).ids.tolist()
    messages = [dict(role=role, content=content) for role, content in talk]
    given = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert given == tokens
