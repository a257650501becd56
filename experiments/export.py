"""Exports a trained network for use without kd_jax: weights.safetensors, and logits.stablehlo, the program to run.

python -m experiments.export --workdir=runs/hinton_mnist --run=student_t20-s0 --out=exported

--format=huggingface writes a decoder or an encoder for the library transformers instead: config.json,
model.safetensors, and its tokenizer, with the chat template of a decoder.

What is exported is what the run evaluates, with all networks that it reads. The program is run on the data of the
study, and is written only if it makes the numbers of the study.
"""

import argparse
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import safetensors.numpy

from experiments import command_line
from experiments.terminal import keep_going
from kd_jax.config.disk_errors import disk_errors
from kd_jax.config.errors import UserError
from kd_jax.config.import_by_name import NotAllowed, names_from_file
from kd_jax.config.ordinary_files import check_directory, replacing, write_bytes
from kd_jax.config.visible_text import visible
from kd_jax.data import chat_templates
from kd_jax.data.batches import batch_shapes
from kd_jax.data.model_tokenizer import model_tokenizer
from kd_jax.data.splits import load_splits
from kd_jax.devices.compiler_options import compiler_options
from kd_jax.devices.platform import check_platform
from kd_jax.interop.huggingface_export import TOKENIZER, save_huggingface
from kd_jax.interop.stablehlo import export_program, flat_weights, network_program, shown_inputs
from kd_jax.language.decoder import Decoder
from kd_jax.language.encoder import Encoder
from kd_jax.scale import tpu_chips
from kd_jax.studies.check_export import check_program
from kd_jax.studies.evaluated_network import (
    EvaluatedNetwork,
    described_batch,
    finished_run,
    one_copy,
    open_network,
)
from kd_jax.studies.workdir import Workdir

USE = """wrote {out}/weights.safetensors ({count:,} parameters) and {out}/{name}.stablehlo. Running it needs only jax:
  weights = safetensors.numpy.load_file('{out}/weights.safetensors')
  {name} = jax.export.deserialize(bytearray(open('{out}/{name}.stablehlo', 'rb').read())).call
  {name}(weights, ...)  # {inputs}
{checked}"""


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: export(argv))


def make_parser() -> command_line.Parser:
    network = 'evaluation or network of that run (default: its only evaluation)'
    parser = command_line.parser_for_a_finished_run('experiments.export', __doc__, network)
    parser.add_argument('--copy', type=int, help='which one of the stacked copies of the network, from 0')
    parser.add_argument(
        '--format', choices=('stablehlo', 'huggingface'), default='stablehlo', help='huggingface: for transformers'
    )
    parser.add_argument('--out', type=command_line.path, required=True, help='output directory')
    return parser


def export(argv: Sequence[str] | None) -> int:
    try:
        args = make_parser().parse_args(argv)
        tpu_chips.leave_out_libtpu()
        print(visible(exported(args)))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


def exported(args: argparse.Namespace) -> str:
    """Writes both files and returns a message that says how to use them.

    Raises:
      UserError: the run is not finished, its network cannot be exported, or the program makes other numbers than the
        study.
    """
    check_platform()
    check_directory(args.out, '--out')
    workdir = Workdir(args.workdir)
    run_id, result = finished_run(workdir, args.run)
    read = {key: result['config'].get(key, {}) for key in ('networks', 'evaluate', 'data')}
    file = workdir.result_path(run_id)
    with names_from_file(file, read, args.allow, lambda names: command_line.how_to_allow(file, names)):
        found = open_network(workdir, run_id, result, args.network, args.checkpoint)
        found.check_is_evaluated()
        check_copy(found, args.copy)
        if args.format == 'huggingface':
            return written_for_transformers(found if args.copy is None else one_copy(found, args.copy), args.out)
        arrays, reason = data_of(found)
    batch = batch_shapes(arrays['train'], 1) if arrays else described_batch(result)
    if not batch:
        raise UserError(f'{found.where}: the shapes of its inputs are not known, because {reason}')
    chosen = found if args.copy is None else one_copy(found, args.copy)
    weights = flat_weights(chosen.owners, chosen.variables)
    program = export_program(
        network_program(chosen.networks, chosen.owners, chosen.variables, chosen.path),
        weights,
        [batch[name] for name in chosen.inputs],
        f"{chosen.where}, network '{chosen.network.name}'",
    )
    serialized = bytes(program.serialize())
    checked = compared(found, serialized, weights, arrays, reason)
    name = found.path.name if re.fullmatch(r'\w+', found.path.name) else 'output'
    inputs = shown_inputs(program, len(chosen.inputs))
    with disk_errors(args.out):
        args.out.mkdir(parents=True, exist_ok=True)
        with replacing(args.out / 'weights.safetensors') as part:
            safetensors.numpy.save_file(weights, part, metadata={'format': 'pt', 'inputs': inputs})
        write_bytes(args.out / f'{name}.stablehlo', serialized)
    count = sum(a.size for name in chosen.owners for a in jax.tree.leaves(chosen.variables[name]['params']))
    return USE.format(out=args.out, count=count, name=name, inputs=inputs, checked=checked)


def written_for_transformers(found: EvaluatedNetwork, out: pathlib.Path) -> str:
    """Writes a decoder or an encoder, and its tokenizer, for `transformers`; says how they are loaded.

    Raises:
      UserError: the network is neither, or it reads other networks.
    """
    module, data = found.network.module, found.result['config']['data']
    if not isinstance(module, Decoder | Encoder) or len(found.networks) > 1:
        raise UserError(
            f"{found.where}, network '{found.network.name}' is no decoder or encoder of its own, so it cannot be "
            'written with --format=huggingface; leave that out.'
        )
    tokenizer = model_tokenizer(data, found.network.inputs)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        (owner,) = found.owners
        chat = data.get('chat', chat_templates.DEFAULT)
        files = save_huggingface(out, module, found.variables[owner], tokenizer, chat)
    lacks = '' if TOKENIZER[0] in files else f'\nThe tokenizer {tokenizer.name!r} cannot be written as {TOKENIZER[0]}.'
    kind = 'CausalLM' if isinstance(module, Decoder) else 'MaskedLM'
    loader = f'AutoModel{"" if isinstance(module, Encoder) and module.head == "none" else f"For{kind}"}'
    return f"""wrote {', '.join(f'{out}/{file}' for file in files)}. To load it:
  model = transformers.{loader}.from_pretrained('{out}'){lacks}"""


def check_copy(found: EvaluatedNetwork, copy: int | None) -> None:
    """Refuses a network with copies of which none is chosen, and a chosen copy of a network without copies."""
    last = found.network.copies - 1
    if found.network.copies and copy is None:
        raise UserError(
            f"{found.where}, network '{found.network.name}' has {last + 1} copies; choose one of --copy=0 to "
            f'--copy={last}.'
        )
    if not found.network.copies and copy is not None:
        raise UserError(f"{found.where}, network '{found.network.name}' has no copies; leave out --copy.")


def data_of(found: EvaluatedNetwork) -> tuple[Mapping[str, Any], str]:
    """The splits of the run's data; if it cannot be loaded, {} and the reason."""
    try:
        return load_splits(found.result['config'].get('data', {}), found.result['seed'], found.where).arrays, ''
    except NotAllowed:
        raise
    except UserError as error:
        return {}, f'the data cannot be loaded: {error}'


def compared(
    found: EvaluatedNetwork, serialized: bytes, weights: Mapping[str, Any], arrays: Mapping[str, Any], reason: str
) -> str:
    """Runs the exported program on the data of the study; says what it measures there, or why that is not known."""
    if found.evaluation is None:
        reason = 'the run evaluates nothing.'
    if reason:
        return f'not checked against the study, because {reason}'
    every = [weights]
    if found.network.copies:
        copies = (one_copy(found, i) for i in range(found.network.copies))
        every = [flat_weights(copy.owners, copy.variables) for copy in copies]
    convolves = any(owner.convolves(found.variables[name]) for name, owner in found.owners.items())
    loops = any(owner.layer_stacks for owner in found.owners.values())
    options = compiler_options(jax.default_backend(), convolves, loops)  # those of the run that measured the numbers
    program = jax.jit(jax.export.deserialize(bytearray(serialized)).call, compiler_options=options)
    return check_program(found, program, every, arrays)


if __name__ == '__main__':
    sys.exit(main())
