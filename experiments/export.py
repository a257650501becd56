"""Exports a trained network for use without kd_jax: weights.safetensors, and logits.stablehlo, the program to run.

python -m experiments.export --workdir=runs/hinton_mnist --run=student_t20-s0 --out=exported
"""

import argparse
import pathlib
import shlex
import sys
from collections.abc import Sequence

import jax

from experiments.terminal import keep_going
from kd_jax.config.errors import UserError, suggest
from kd_jax.config.import_by_name import names_from_file
from kd_jax.config.ordinary_files import user_path
from kd_jax.config.references import BEST, LAST
from kd_jax.config.visible_text import visible
from kd_jax.data.batches import batch_shapes
from kd_jax.devices.platform import check_platform
from kd_jax.interop.stablehlo import write_stablehlo
from kd_jax.prepare.prepared_run import prepare_run
from kd_jax.scale import tpu_chips
from kd_jax.studies.finished_runs import exportable_network, load_trained
from kd_jax.studies.workdir import Workdir

USE = """wrote {out}/weights.safetensors ({count:,} parameters) and {out}/logits.stablehlo. Running it needs only jax:
  weights = safetensors.numpy.load_file('{out}/weights.safetensors')
  logits = jax.export.deserialize(bytearray(open('{out}/logits.stablehlo', 'rb').read())).call
  logits(weights, ...)  # {inputs}"""


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: export(argv))


def export(argv: Sequence[str] | None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument('--workdir', type=user_path, required=True, help='work directory of the study')
    parser.add_argument('--run', required=True, help='a finished run and its seed, for example student-s0')
    parser.add_argument('--network', default='', help='network of that run (default: its only trained network)')
    parser.add_argument(
        '--checkpoint', choices=(LAST, BEST), default=LAST, help='best: that of the best evaluation on validation'
    )
    parser.add_argument(
        '--allow', action='append', default=[], metavar='PACKAGE.MODULE:NAME',
        help="model, loss or data source of the run's config that may be imported (see docs/trust.md)",
    )  # fmt: skip
    parser.add_argument('--out', type=user_path, required=True, help='output directory')
    args = parser.parse_args(argv)
    tpu_chips.leave_out_libtpu()
    try:
        print(visible(exported(args)))
    except UserError as error:
        print(f'error: {visible(str(error))}', file=sys.stderr)
        return 2
    return 0


def exported(args: argparse.Namespace) -> str:
    """Writes both files and returns a message that says how to use them.

    Raises:
      UserError: the run is not finished, or its network cannot be exported.
    """
    check_platform()
    workdir = Workdir(args.workdir)
    result = workdir.result(args.run)
    if result is None:
        finished = [path.stem for path in args.workdir.glob('results/*.json')]
        raise UserError(f'{args.workdir} has no finished run {args.run!r}. {suggest(args.run, finished)}')
    config = {key: value for key, value in result['config'].items() if key != 'mesh'}
    file = workdir.result_path(args.run)
    with names_from_file(file, config, args.allow, lambda names: how_to_allow(file, names)):
        prepared = prepare_run(config, result['seed'], f"run '{args.run}'")
    step = (result[args.checkpoint] or result[LAST])['step']
    network = exportable_network(prepared, args.network, step)
    variables = load_trained(prepared, network, workdir.directory(args.run), args.checkpoint)
    inputs = write_stablehlo(network, variables, batch_shapes(prepared.splits.arrays['train'], 1), args.out)
    count = sum(a.size for a in jax.tree.leaves(variables['params']))
    return USE.format(out=args.out, count=count, inputs=inputs)


def how_to_allow(file: pathlib.Path, names: Sequence[str]) -> str:
    flags = ' '.join(f'--allow={shlex.quote(name)}' for name in names)
    return f'If you trust {file}, run the same command with {flags}.'


if __name__ == '__main__':
    sys.exit(main())
