"""Everything that a term reads."""

from kd_jax.core.paths import Path
from kd_jax.core.term import Term


def test_a_term_reads_its_arrays_its_given_numbers_and_its_mask():
    student, teachers = Path('student', 'logits'), (Path('a', 'logits'), Path('b', 'logits', stop=True))
    temperature, mask = Path('hot', 't'), Path('batch', 'labelled')
    term = Term('soft', max, (student, teachers), {}, {'weight': ''}, {'t': temperature}, mask)
    assert term.paths() == [student, *teachers, temperature, mask]
    assert Term('hard', max, (student,), {}, {}, {}).paths() == [student]
