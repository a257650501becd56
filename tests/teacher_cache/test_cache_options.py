"""What a run says of its cache, and a cache that does not match the run."""

import pytest

from kd_jax.config.config_file import load_config
from kd_jax.config.errors import UserError
from kd_jax.prepare.prepared_run import prepare_run
from tests.small_caches import CONFIG, student


@pytest.mark.parametrize(
    ('overrides', 'told'),
    [
        (('cache=True',), r'cache: with a new view of each image .* set data\.views'),
        (('cache=3', 'data.views=1'), 'cache is 3, but it must be True, False or a dictionary'),
        (("cache=''",), "cache is '', but it must be True, False or a dictionary"),
        (('cache={}',), r'cache: with a new view of each image .* set data\.views'),
        (('cache={"dtpye": "float16"}', 'data.views=1'), "cache: there is no option 'dtpye'. Did you mean 'dtype'"),
        (('cache={"dtype": "int8"}', 'data.views=1'), "cache: there is no dtype 'int8'"),
        (('cache={"read": "tape"}', 'data.views=1'), "cache: there is no read 'tape'"),
        (('cache={"path": "ftp://there/x"}', 'data.views=1'), 'the cache ftp://there/x could not be opened'),
        (('cache=True', 'data.views=-1'), 'data.views is -1'),
    ],
)
def test_mistakes_are_told_before_training(overrides, told):
    with pytest.raises(UserError, match=told):
        student(*overrides)


def test_a_run_without_frozen_networks_has_nothing_to_record():
    config, _ = load_config(CONFIG, ['runs.teacher.cache=True', 'runs.teacher.data.views=1'])
    with pytest.raises(UserError, match='nothing reads the output of a frozen network'):
        prepare_run(config['runs']['teacher'], 0, "run 'teacher'")
