"""The study of docs/studies.md, for tests: two fine-tuned runs, the average of their weights, and a run from there."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'studies.md'
(EXAMPLE,) = (t for t in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL) if 'average_weights' in t)
exec(EXAMPLE)
get_config = globals()['get_config']
