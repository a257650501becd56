"""Rebuilds the report of a study from its result files.

python -m experiments.report --workdir=runs/hinton_mnist                 # writes into the work directory
python -m experiments.report --workdir=runs/hinton_mnist --out=DIR       # copies the results to DIR, writes there
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import command_line
from experiments.terminal import keep_going
from kd_jax.config.checked_json import read_checked, write_checked
from kd_jax.config.errors import UserError, first_line
from kd_jax.config.file_schemas import Anything
from kd_jax.config.ordinary_files import check_directory, refuse_links
from kd_jax.config.visible_text import visible
from kd_jax.report.build import build_report
from kd_jax.report.check_report import check_report
from kd_jax.report.result_files import load_results
from kd_jax.report.terminal_tables import print_tables


def copy_evidence(workdir: Path, out: Path) -> None:
    """Copies study.json and results/ to `out`, and removes result files from `out` that `workdir` does not have.

    Names of local directories are not copied: an absolute path in a command is shortened to its last component. Every
    copy has a checksum, also that of a file that has none.

    Raises:
      UserError: `out` holds another study or files of something else, is the work directory of other runs, or lies
        in `workdir`.
    """
    if out.resolve() == workdir.resolve():
        return
    if workdir.resolve() in out.resolve().parents:
        raise UserError(f'{out} lies in the work directory {workdir}, whose files it would change; give another --out.')
    if (out / 'runs').exists() or (out / '.lock').exists():
        raise UserError(
            f'{out} is a work directory, whose results would be replaced; give another directory with --out.'
        )
    name = load_results(workdir).study['name']
    refuse_links(out / 'results', out / 'figures')
    foreign = [*sorted(out.glob('results/*.json')), *sorted(out.glob('figures/*.png'))]
    if foreign and not (out / 'study.json').exists():
        raise UserError(
            f'{out} has no study.json, so {foreign[0]} may belong to something else, and a report would remove it; '
            'give another directory with --out.'
        )
    if (out / 'study.json').exists() and (found := load_results(out).study['name']) != name:
        raise UserError(f'{out} holds study {found!r}, not {name!r}; give another directory with --out.')
    (out / 'results').mkdir(parents=True, exist_ok=True)
    _copy(workdir / 'study.json', out / 'study.json')
    kept = {path.name for path in (workdir / 'results').glob('*.json')}
    for name in kept:
        _copy(workdir / 'results' / name, out / 'results' / name)
    for path in (out / 'results').glob('*.json'):
        if path.name not in kept:
            path.unlink()


def _copy(path: Path, to: Path) -> None:
    content = read_checked(path, Anything, 'delete it and run the study again').content
    if isinstance(command := content.get('command'), str):
        content['command'] = re.sub(r'(?<![^\s=])/[^\s=]*/', '', command)
    write_checked(to, content)


def main(argv: Sequence[str] | None = None) -> int:
    return keep_going(lambda: write_and_print(argv))


def make_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser('python -m experiments.report', description=__doc__, formatter_class=raw)
    parser.add_argument(
        '--workdir', type=command_line.path, required=True, help='work directory with study.json and results/*.json'
    )
    parser.add_argument('--out', type=command_line.path, help='write the report and a copy of the results here instead')
    return parser


def write_and_print(argv: Sequence[str] | None) -> int:
    args = make_parser().parse_args(argv)
    out = args.out or args.workdir
    try:
        check_directory(out, '--out')
        loaded = load_results(args.workdir)
        check_report(loaded.study)
        print_tables(*loaded)
        copy_evidence(args.workdir, out)
        build_report(out, out)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        reason = error.strerror or first_line(error)
        print(
            visible(f'error: {out} cannot be written ({reason}): give another directory with --out.'), file=sys.stderr
        )
        return 2
    print(visible(f'wrote {out / "report.html"} and {out / "report.md"}'))
    return 0


if __name__ == '__main__':
    sys.exit(main())
