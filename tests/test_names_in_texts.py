"""What pages, docstrings, comments and messages name exists: links, files, commands, their options, variants."""

import functools
import pathlib
import re

import pytest

from experiments.options import COMMANDS
from kd_jax.config.config_file import load_config
from kd_jax.config.name_globs import matching

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]
CODE = [path for folder in ('benchmarks', 'configs', 'experiments', 'kd_jax') for path in (ROOT / folder).rglob('*.py')]
OLD = 'renamed'  # holds names that no longer exist
TEXTS = [path for path in [*PAGES, *sorted(CODE)] if path.stem != OLD]
FILES = re.compile(
    r'(?<![\w./-])(?:benchmarks|configs|docs|experiments|kd_jax|tests)/(?:[\w.-]+/)*[\w-]+\.(?:py|md|json|sh)\b'
)


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r'[^\w\- ]', '', re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).lower()).replace(' ', '-')


@functools.cache
def anchors(page):
    text = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
    return {slug(heading) for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE)}


def links(page):
    text = re.sub(r'```.*?```|`[^`\n]*`', '', page.read_text(), flags=re.DOTALL)
    found = re.findall(r'\]\(([^)\s]+)\)', text) + re.findall(r'src="([^"]+)"', text)
    return [link for link in found if not link.startswith(('http:', 'https:', 'mailto:'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    for link in links(page):
        file, _, anchor = link.partition('#')
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_a_reader_of_the_readme_can_reach_every_page():
    reached, waiting = set(), [ROOT / 'README.md']
    while waiting:
        page = waiting.pop()
        reached.add(page)
        files = {(page.parent / link.partition('#')[0]).resolve() for link in links(page)}
        waiting += [file for file in files & set(PAGES) if file not in reached]
    assert set(PAGES) - reached == set()


def test_the_page_on_the_design_names_every_module_in_its_folder():
    layers = (ROOT / 'docs' / 'design.md').read_text().partition('## The layers')[2].partition('\n## ')[0]
    named = dict(re.findall(r'- \*\*(\w+)/\*\* (.*?)(?=\n- \*\*|\Z)', layers, re.DOTALL))
    for path in (ROOT / 'kd_jax').rglob('*.py'):
        folder, *inner = path.relative_to(ROOT / 'kd_jax').parts
        assert not inner or path.stem == '__init__' or f'`{path.stem}`' in named[folder], path


@pytest.mark.parametrize('path', TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_and_commands_that_a_text_names_exist(path):
    text = path.read_text('utf-8')
    for name in FILES.findall(text):
        assert (ROOT / name).exists() or (ROOT / 'kd_jax' / name).exists(), name
    for module, rest in re.findall(r'python -m ((?:experiments|benchmarks)(?:\.\w+)+)([^\n`#|]*)', text):
        place = module.replace('.', '/')
        assert any((ROOT / file).exists() for file in (f'{place}.py', f'{place}/__main__.py')), module
        if module.removeprefix('experiments.') in COMMANDS:
            check_command(module.removeprefix('experiments.'), rest)


@pytest.mark.parametrize('name', COMMANDS)
def test_the_usage_of_a_command_is_what_a_user_types(name):
    shown = COMMANDS[name].make_parser().format_help()
    assert shown.startswith(f'usage: python -m experiments.{name} ')
    assert all(line in shown for line in COMMANDS[name].__doc__.splitlines())


def check_command(name, rest):
    """The options of a command line exist, and so do the config file, its variant, and the runs and leaves named."""
    known = {option for action in COMMANDS[name].make_parser()._actions for option in action.option_strings}
    for option in re.findall(r'(?<!\S)(--[a-z_]+)(?![.\w])', rest):
        assert option in known, option
    for config in re.findall(r'--config=(configs/[\w./:]*\w)', rest):
        plain, _ = load_config(config, re.findall(r"--config\.([^\s']+)", rest))
        for globs in re.findall(r"--only='([^']+)'", rest):
            assert all(matching(glob, plain['runs']) for glob in globs.split(',')), globs
