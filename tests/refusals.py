"""What the command line says to a mistake in the tiny study."""

import pathlib

from experiments import run

CONFIG = f'--config={pathlib.Path(__file__).with_name("tiny_config.py")}'


def refusal(capsys, workdir, *arguments, code=2):
    """The one sentence that the command prints before it does anything."""
    assert run.main([f'--workdir={workdir}', *arguments]) == code
    out, err = capsys.readouterr()
    assert out.startswith('error: ')
    assert len(out.splitlines()) == (out + err).count('error:') == 1
    assert 'Traceback' not in out + err
    return out
