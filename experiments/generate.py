r"""Lets a decoder of a finished run continue a prompt.

  python -m experiments.generate --workdir=runs/smollm2 --run=kd --prompt='The package manager'
  python -m experiments.generate --workdir=runs/smollm2 --run=teacher --chat=chatml --prompt='Who wrote Hamlet?' \
    --system='You are a helpful AI assistant named SmolLM, trained by Hugging Face'

It prints the text, and how many tokens a second the decoder reads and writes. The tokenizer is that of the run's data.
"""

import argparse
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.terminal import keep_going
from kd_jax.config.errors import UserError
from kd_jax.config.import_by_name import names_from_file
from kd_jax.config.visible_text import visible
from kd_jax.data.chat_templates import TEMPLATES
from kd_jax.data.model_tokenizer import model_tokenizer
from kd_jax.data.prompts import prompt_tokens, stop_tokens
from kd_jax.data.tokenizers import Tokenizer
from kd_jax.devices.platform import check_platform
from kd_jax.language.decoder import Decoder
from kd_jax.language.decoding import Sampling
from kd_jax.scale import tpu_chips
from kd_jax.studies.evaluated_network import EvaluatedNetwork, finished_run, open_network
from kd_jax.studies.workdir import Workdir
from kd_jax.training.samples import Continued, continued

SAID = '[read {read} tokens, {reading:,.4g} a second; wrote {wrote} tokens{writing}]'


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: generate(argv))


def make_parser() -> command_line.Parser:
    network = 'a decoder of that run (default: the one that it evaluates)'
    parser = command_line.parser_for_a_finished_run('experiments.generate', __doc__, network)
    parser.add_argument(
        '--prompt', action='append', required=True, help='a text to continue; repeat the option for several'
    )
    parser.add_argument(
        '--chat', choices=tuple(TEMPLATES), help='the prompt is a message of a user, in this chat template'
    )
    parser.add_argument('--system', default='', help='a message of the system before it; needs --chat')
    parser.add_argument('--tokens', type=int, default=64, help='largest number of new tokens (default: 64)')
    parser.add_argument('--temperature', type=float, default=0.0, help='0 takes the most probable token (default: 0)')
    parser.add_argument('--top-k', type=int, default=0, help='draw from this many of the most probable (default: all)')
    parser.add_argument(
        '--top-p', type=float, default=1.0, help='draw from the most probable that have this share (default: 1)'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the draws (default: 0)')
    return parser


def generate(argv: Sequence[str] | None) -> int:
    try:
        args = make_parser().parse_args(argv)
        tpu_chips.leave_out_libtpu()
        print(visible(generated(args)))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


def generated(args: argparse.Namespace) -> str:
    """The texts that the network writes, and how fast.

    Raises:
      UserError: the run is not finished, its network is no decoder or does not read text, or an option is wrong.
    """
    check_platform()
    if args.tokens < 1:
        raise UserError(f'--tokens is {args.tokens}, but it must be 1 or more.')
    if args.system and not args.chat:
        raise UserError('--system is a message of a conversation; name its template with --chat.')
    if args.temperature == 0 and (args.top_k, args.top_p, args.seed) != (0, 1.0, 0):
        raise UserError(
            '--top-k, --top-p and --seed are about drawing a token, but without --temperature the most probable one is '
            'taken; add a temperature, such as --temperature=1.'
        )
    if not 0 <= args.seed < 2**32:
        raise UserError(f'--seed is {args.seed}, but it must be a whole number from 0 to {2**32 - 1}.')
    sampling = Sampling(args.temperature, args.top_k, args.top_p)
    workdir = Workdir(args.workdir)
    run_id, result = finished_run(workdir, args.run)
    read = {key: result['config'].get(key, {}) for key in ('networks', 'evaluate')}
    file = workdir.result_path(run_id)
    with names_from_file(file, read, args.allow, lambda names: command_line.how_to_allow(file, names)):
        found = open_network(workdir, run_id, result, args.network, args.checkpoint)
    tokenizer = tokenizer_of(found)
    prompts = [prompt_tokens(text, args.chat, tokenizer, '--prompt', args.system) for text in args.prompt]
    module, variables = found.network.module, found.variables[found.network.name]
    wrote = continued(
        module, variables, prompts, tokenizer, new_tokens=args.tokens, stop=stop_tokens(args.chat, tokenizer),
        sampling=sampling, seed=args.seed,
    )  # fmt: skip
    return '\n\n'.join([*shown(args.prompt, wrote.texts, args.chat), speed(wrote)])


def tokenizer_of(found: EvaluatedNetwork) -> Tokenizer:
    """The tokenizer of the data of a run whose network is a decoder."""
    place = f"{found.where}, network '{found.network.name}'"
    if not isinstance(found.network.module, Decoder) or found.network.copies:
        what = 'has copies' if isinstance(found.network.module, Decoder) else 'is no decoder'
        raise UserError(f'{place} {what}, so it cannot continue a text; name a decoder with --network.')
    data = found.result['config'].get('data', {})
    if data.get('source') not in ('text', 'tfds_text', 'aligned_text'):
        raise UserError(f'{place}: the data of the run is no text, so its tokenizer is not known.')
    return model_tokenizer(data, found.network.inputs)


def shown(prompts: Sequence[str], texts: Sequence[str], chat: str | None) -> list[str]:
    """Each prompt with what follows it; an answer in a conversation begins on a line of its own."""
    between = '\n' if chat else ''
    return [prompt + between + text for prompt, text in zip(prompts, texts, strict=True)]


def speed(wrote: Continued) -> str:
    writing = f', {wrote.writing:,.4g} a second' if wrote.writing else ''
    return SAID.format(read=wrote.read, reading=wrote.reading, wrote=wrote.wrote, writing=writing)


if __name__ == '__main__':
    sys.exit(main())
