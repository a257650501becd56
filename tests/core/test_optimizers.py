import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kd_jax.config.errors import UserError
from kd_jax.core import optimizers
from kd_jax.core.optimizers import make_transformation, parse_optimizer

PARAMS = {
    'dense': {
        'kernel': np.array([[3.0, 0.1], [4.0, 0.2]], np.float32),
        'bias': np.array([9.0, -9.0], np.float32),
    }
}


def updated(config, params, grads, progress=0.0, layer_stacks=()):
    """Returns the parameters after one step from a new state."""
    optimizer, numbers = parse_optimizer(config, 'c')

    @jax.jit
    def step(numbers, params, grads, progress):
        tx = make_transformation(optimizer, numbers, progress, layer_stacks)
        return optax.apply_updates(params, tx.update(grads, tx.init(params), params)[0])

    return step(numbers, params, grads, progress)


def like(params, value):
    return jax.tree.map(lambda a: np.full(a.shape, value, np.float32), params)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_every_optimizer_descends_with_all_of_its_numbers_traced(name):
    signature = inspect.signature(getattr(optax, name)).parameters
    numbers = {key: p.default for key, p in signature.items() if type(p.default) in (int, float)}
    config = {
        **numbers,
        'name': name,
        'learning_rate': 0.01,
        'weight_decay': 0.0,
        'clip': 1.0,
        'max_norm': 100.0,
    }
    after = updated(config, PARAMS, like(PARAMS, 0.5))
    for before, moved in zip(jax.tree.leaves(PARAMS), jax.tree.leaves(after), strict=True):
        assert np.all(moved < before)


@pytest.mark.parametrize('name', ['adam', 'adamw', 'lion', 'rmsprop', 'sgd'])
def test_two_steps_are_those_of_optax(name):
    extra = {'momentum': 0.9, 'nesterov': True} if name == 'sgd' else {}
    optimizer, numbers = parse_optimizer({'name': name, 'learning_rate': 0.1, **extra}, 'c')
    theirs, ours = getattr(optax, name)(0.1, **extra), make_transformation(optimizer, numbers, 0.0)

    def steps(tx):
        def run(params):
            state = tx.init(params)
            for scale in (0.5, -0.2):
                updates, state = tx.update(jax.tree.map(lambda a, s=scale: a * s, params), state, params)
                params = optax.apply_updates(params, updates)
            return params

        return jax.jit(run)(PARAMS)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), steps(ours), steps(theirs))


def test_the_gradient_is_clipped_to_a_global_norm():
    # |(3, 4, 12)| = 13 is clipped to 1.3, a tenth of it; the learning rate is 2.
    params, grads = (
        like({'a': np.zeros(2), 'b': np.zeros(1)}, 0.0),
        {'a': np.array([3.0, 4.0]), 'b': np.array([12.0])},
    )
    after = updated({'learning_rate': 2.0, 'clip': 1.3}, params, grads)
    np.testing.assert_allclose(after['a'], [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(after['b'], [-2.4], rtol=1e-6)
    after = updated({'learning_rate': 2.0, 'clip': 14.0}, params, grads)
    np.testing.assert_allclose(after['a'], [-6.0, -8.0], rtol=1e-6)


def test_weight_decay_of_sgd_is_added_to_the_gradient_and_passes_through_momentum():
    optimizer, numbers = parse_optimizer({'learning_rate': 0.1, 'momentum': 0.5, 'weight_decay': 0.2}, 'c')
    tx = make_transformation(optimizer, numbers, 0.0)
    param = jnp.array([10.0])
    state = tx.init(param)
    # g + wd * p = 1 + 2 = 3; p = 10 - 0.3 = 9.7. Then 1 + 1.94 + 0.5 * 3 = 4.44; p = 9.7 - 0.444.
    for expected in (9.7, 9.256):
        updates, state = tx.update(jnp.array([1.0]), state, param)
        param = optax.apply_updates(param, updates)
        np.testing.assert_allclose(param, [expected], rtol=1e-6)


def test_weight_decay_of_adamw_is_decoupled():
    # The first step of Adam is the sign of the gradient; the decay is added to it: 0.2 * 10.
    after = updated({'name': 'adamw', 'learning_rate': 0.1, 'weight_decay': 0.2}, np.array([10.0]), np.array([5.0]))
    np.testing.assert_allclose(after, [10.0 - 0.1 * (1.0 + 2.0)], rtol=1e-5)


def test_max_norm_projects_long_columns_and_leaves_the_rest_alone():
    after = updated({'learning_rate': 1.0, 'max_norm': 2.5}, PARAMS, like(PARAMS, 0.0))
    # The weights (3, 4) of the first unit have norm 5; (0.1, 0.2) of the second are short; biases have no limit.
    np.testing.assert_allclose(after['dense']['kernel'], [[1.5, 0.1], [2.0, 0.2]], rtol=1e-6)
    np.testing.assert_array_equal(after['dense']['bias'], PARAMS['dense']['bias'])


def test_max_norm_acts_on_the_weights_after_the_update():
    # (3, 4) - (0, 4) = (3, 0) is short enough now; (0.1, 0.2) + (5.9, 7.8) = (6, 8) is not.
    grads = {'dense': {'kernel': np.array([[0.0, -5.9], [4.0, -7.8]], np.float32), 'bias': np.zeros(2, np.float32)}}
    after = updated({'learning_rate': 1.0, 'max_norm': 3.5}, PARAMS, grads)
    np.testing.assert_allclose(after['dense']['kernel'], [[3.0, 2.1], [0.0, 2.8]], atol=1e-6)


def test_max_norm_of_a_convolution_is_over_all_that_a_unit_reads():
    params = {'conv': {'kernel': np.ones((3, 3, 4, 2), np.float32)}}
    after = updated({'learning_rate': 1.0, 'max_norm': 3.0}, params, like(params, 0.0))
    # 36 ones have norm 6.
    np.testing.assert_allclose(after['conv']['kernel'], 0.5, rtol=1e-6)


def test_max_norm_is_that_of_each_layer_of_a_stack():
    params = {'blocks': {'up': {'kernel': np.stack([np.eye(2), 2 * np.eye(2)]).astype(np.float32)}}}
    after = updated({'learning_rate': 1.0, 'max_norm': 1.0}, params, like(params, 0.0), layer_stacks=('blocks',))
    # The units of the first layer have norm 1, those of the second one 2.
    np.testing.assert_allclose(after['blocks']['up']['kernel'], np.stack([np.eye(2)] * 2), rtol=1e-6)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_a_layer_of_a_stack_moves_as_it_would_alone(name):
    rng = np.random.default_rng(0)

    def drawn(size):  # three layers of unlike norms
        stack = {key: rng.normal(size=(4, 4, 3)) * size ** np.arange(3) for key in ('kernel', 'bias')}
        return jax.tree.map(np.float32, {'blocks': jax.tree.map(lambda a: a.T, stack), 'head': rng.normal(size=(4, 2))})

    params, grads = drawn(10.0), [drawn(0.1) for _ in range(3)]
    config = {'name': name, 'learning_rate': 0.1, 'weight_decay': 0.1, 'weight_decay_on': 'kernels', 'max_norm': 2.0}
    factors = {'min_dim_size_to_factor': 2} if name == 'adafactor' else {}
    optimizer, numbers = parse_optimizer(config | factors, 'c')

    def trained(params, grads, layer_stacks):
        tx = make_transformation(optimizer, numbers, 0.0, layer_stacks)
        state = tx.init(params)
        for grad in grads:
            changes, state = jax.jit(tx.update)(grad, state, params)
            params = optax.apply_updates(params, changes)
        return params

    def of_layer(i, tree):
        return {**tree, 'blocks': jax.tree.map(lambda a: a[i], tree['blocks'])}

    together = trained(params, grads, ('blocks',))
    for i in range(3):
        alone = trained(of_layer(i, params), [of_layer(i, grad) for grad in grads], ())
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), of_layer(i, together), alone)


def test_numbers_and_progress_change_without_tracing_anew():
    schedule = {'schedule': 'cosine', 'peak': 1.0}
    optimizer, numbers = parse_optimizer({'learning_rate': schedule, 'momentum': 0.9, 'clip': 5.0}, 'c')
    traces = []

    @jax.jit
    def step(numbers, progress, grads):
        traces.append(1)
        tx = make_transformation(optimizer, numbers, progress)
        return tx.update(grads, tx.init(grads), grads)[0]

    grads = np.array([1.0], np.float32)
    np.testing.assert_allclose(step(numbers, 0.0, grads), [-1.0])
    np.testing.assert_allclose(step(numbers, 0.5, grads), [-0.5])
    numbers = {**numbers, 'learning_rate': {'peak': 3.0}, 'clip': 0.5}
    np.testing.assert_allclose(step(numbers, 0.0, grads), [-1.5])
    assert len(traces) == 1


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'name': 'adma', 'learning_rate': 0.1}, "c: there is no optimizer 'adma'. Did you mean 'adam'"),
        (
            {'learning_rate': 0.1, 'momentun': 0.9},
            "c: optimizer 'sgd' takes no 'momentun'. Did you mean 'momentum'",
        ),
        ({'name': 'sgd', 'momentum': 0.9}, "c: optimizer 'sgd' needs a learning_rate"),
        ({'learning_rate': -0.1}, 'c.learning_rate is -0.1, but it must not be negative'),
        ({'learning_rate': 0.1, 'clip': 0.0}, 'c.clip is 0, but it must be greater than 0'),
        ({'learning_rate': 0.1, 'max_norm': -1.0}, 'c.max_norm is -1'),
        ({'learning_rate': 0.1, 'weight_decay': -1.0}, 'c.weight_decay is -1'),
        ({'learning_rate': {'schedule': 'cosine', 'peak': -1.0}}, 'c.learning_rate.peak is -1'),
        ({'name': 'adam', 'learning_rate': 0.1, 'b2': 1.0}, 'c.b2 is 1, but it must be at least 0 and less than 1'),
        ({'name': 'adam', 'learning_rate': 0.1, 'eps': -1.0}, 'c.eps is -1, but it must not be negative'),
        ({'learning_rate': 0.1, 'nesterov': True}, 'c.nesterov does nothing without momentum: set momentum, or leave'),
        (
            {'name': 'rmsprop', 'learning_rate': 0.1, 'nesterov': True, 'momentum': None},
            'c.nesterov does nothing without momentum',
        ),
        ({'learning_rate': 0.1, 'accumulator_dtype': 'bfloat16'}, 'c.accumulator_dtype does nothing without momentum'),
        (
            {'name': 'adafactor', 'learning_rate': 0.1, 'min_dim_size_to_factor': 8, 'factored': False},
            'c.min_dim_size_to_factor does nothing without factored',
        ),
    ],
)
def test_a_wrong_optimizer_is_refused(config, message):
    with pytest.raises(UserError) as error:
        parse_optimizer(config, 'c')
    assert message in str(error.value)


DECAYING = [('sgd', 'weight_decay'), ('adam', 'weight_decay'), ('adagrad', 'weight_decay'), ('rmsprop', 'weight_decay'),
            ('adamw', 'weight_decay'), ('lamb', 'weight_decay'), ('lars', 'weight_decay'), ('lion', 'weight_decay'),
            ('adafactor', 'weight_decay'), ('adafactor', 'weight_decay_rate')]  # fmt: skip


@pytest.mark.parametrize(('name', 'key'), DECAYING)
def test_a_bias_without_gradient_shrinks_unless_kernels_alone_decay(name, key):
    config = {'name': name, 'learning_rate': 0.01, key: 0.5}
    after = {on: updated({**config, 'weight_decay_on': on}, PARAMS, like(PARAMS, 0.0)) for on in ('all', 'kernels')}
    before = PARAMS['dense']
    for on, shrinks in (('all', True), ('kernels', False)):
        assert np.all(np.abs(after[on]['dense']['bias']) < np.abs(before['bias'])) == shrinks
        assert np.all(np.abs(after[on]['dense']['kernel']) < np.abs(before['kernel']))
    np.testing.assert_array_equal(after['kernels']['dense']['bias'], before['bias'])


def test_the_decay_of_one_step_by_hand():
    params = {'norm': {'scale': np.ones(2, np.float32)}, **PARAMS}
    grads = like(params, 0.0)
    for name, on, factors in (
        ('sgd', 'all', (0.95, 0.95, 0.95)),  # 1 - 0.1 * 0.5
        ('sgd', 'kernels', (0.95, 1.0, 1.0)),
        ('adamw', 'kernels', (0.95, 1.0, 1.0)),
    ):
        config = {'name': name, 'learning_rate': 0.1, 'weight_decay': 0.5, 'weight_decay_on': on}
        after = updated(config, params, grads)
        leaves = (('dense', 'kernel'), ('dense', 'bias'), ('norm', 'scale'))
        for (module, leaf), factor in zip(leaves, factors, strict=True):
            np.testing.assert_allclose(after[module][leaf], factor * params[module][leaf], rtol=1e-6)


def test_kernels_are_what_has_two_axes_and_is_no_bias():
    names = {'kernel': (2, 3), 'bias': (3,), 'scale': (3,), 'embedding': (4, 2), 'a': ()}
    attention = {'query': {'kernel': np.zeros((4, 2, 2)), 'bias': np.zeros((2, 2))}}
    found = optimizers.kernels({'x': {name: np.zeros(shape) for name, shape in names.items()}, **attention})
    assert {name for name, decays in found['x'].items() if decays} == {'kernel', 'embedding'}
    assert found['query'] == {'kernel': True, 'bias': False}


def test_types_of_moments_may_be_given_by_name():
    optimizer, numbers = parse_optimizer({'name': 'adam', 'learning_rate': 0.1, 'mu_dtype': 'bfloat16'}, 'c')
    state = make_transformation(optimizer, numbers, 0.0).init(PARAMS)
    assert {str(a.dtype) for a in jax.tree.leaves(optax.tree.get(state, 'mu'))} == {'bfloat16'}


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'name': 'adamw', 'mask': 'bias'}, "'mask' of optimizer 'adamw' is a function .* weight_decay_on='kernels'"),
        ({'name': 'lion', 'mask': {'head': True}}, "'mask' of optimizer 'lion' is a function"),
        ({'name': 'lars', 'weight_decay_mask': True}, "'weight_decay_mask' of optimizer 'lars'"),
        ({'name': 'lars', 'trust_ratio_mask': False}, "'trust_ratio_mask' of optimizer 'lars'"),
        ({'name': 'adamw', 'mu_dtype': 'bf16'}, "c.mu_dtype is 'bf16', but it must be a floating-point type"),
        ({'name': 'adam', 'mu_dtype': 1}, 'c.mu_dtype is 1, but it must be a floating-point type'),
        ({'name': 'sgd', 'accumulator_dtype': 'int32'}, "c.accumulator_dtype is 'int32'"),
        ({'weight_decay': 0.1, 'weight_decay_on': 'kernel'}, "no weight_decay_on 'kernel'. .*'kernels'"),
        ({'weight_decay_on': 'kernels'}, "weight_decay_on is 'kernels', but there is no weight decay: set weight_d"),
        ({'name': 'lamb', 'weight_decay_on': 'kernels'}, 'there is no weight decay'),
        ({'name': 'adamw', 'msk': 0.1}, "takes no 'msk'"),
    ],
)
def test_what_a_config_cannot_say_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        parse_optimizer({'learning_rate': 0.1, **config}, 'c')


@pytest.mark.parametrize(
    'config',
    [
        {'nesterov': True, 'momentum': 0.9},
        {'name': 'lars', 'nesterov': True},  # its momentum is 0.9
        {'name': 'adam', 'nesterov': True},  # needs no momentum
        {'nesterov': False},
        {'name': 'adafactor', 'min_dim_size_to_factor': 8},
        {'name': 'adafactor', 'dtype_momentum': 'bfloat16', 'momentum': 0.9},
    ],
)
def test_options_that_need_another_option_pass_with_it(config):
    assert parse_optimizer({'learning_rate': 0.1, **config}, 'c')[0].static
