"""The page of the test vectors states every definition as the code does."""

import inspect
import pathlib

from conformance import definitions
from conformance.check import DEFINITIONS

PAGE = ' '.join((pathlib.Path(definitions.__file__).parent / 'README.md').read_text().split())


def test_every_definition_is_stated():
    for name in DEFINITIONS:
        assert ' '.join(inspect.getdoc(getattr(definitions, name)).split()) in PAGE
