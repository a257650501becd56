import jax
import numpy as np

from kd_jax.models import mlp

IMAGES = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def relu(x):
    return np.maximum(x, 0.0)


def test_the_network_is_dense_layers_with_relu_between_them():
    model = mlp(hidden=(7, 6), num_classes=4)
    variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
    out = jax.jit(model.apply)(variables, IMAGES)
    p = variables['params']
    x = IMAGES.reshape(3, 20)
    one = relu(x @ p['dense1']['kernel'] + p['dense1']['bias'])
    two = relu(one @ p['dense2']['kernel'] + p['dense2']['bias'])
    logits = two @ p['head']['kernel'] + p['head']['bias']
    assert set(out) == {'hidden1', 'hidden2', 'logits'}
    for name, expected in (('hidden1', one), ('hidden2', two), ('logits', logits)):
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-6)


def test_the_network_of_the_paper_has_its_number_of_parameters():
    # 784 * 800 + 800 + 800 * 800 + 800 + 800 * 10 + 10
    shapes = jax.eval_shape(mlp().init, jax.random.key(0), np.zeros((1, 28, 28), np.float32))
    assert sum(a.size for a in jax.tree.leaves(shapes)) == 1_276_810


def test_initial_weights_have_the_standard_deviation_that_is_asked_for():
    for init_sd, expected in ((0.0, np.sqrt(2 / 20)), (0.03, 0.03)):
        params = jax.jit(mlp(hidden=(200,), init_sd=init_sd).init)(jax.random.key(1), IMAGES)['params']
        np.testing.assert_allclose(np.std(params['dense1']['kernel']), expected, rtol=0.05)


def test_dropout_acts_in_training_alone_and_keeps_the_mean():
    model = mlp(hidden=(1000,), num_classes=2, dropout=0.5)
    variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
    kernel = np.ones((1000, 2), np.float32)
    variables['params']['head']['kernel'] = kernel
    apply = jax.jit(model.apply, static_argnames='train')

    def logits(train, seed):
        return apply(variables, IMAGES, train=train, rngs={'dropout': jax.random.key(seed)})['logits'][:, 0]

    np.testing.assert_array_equal(logits(False, 0), logits(False, 1))
    assert not np.array_equal(logits(True, 0), logits(True, 1))
    # Half the units are dropped and the others doubled: a sum over 1000 units changes by a few per cent.
    np.testing.assert_allclose(logits(True, 0), logits(False, 0), rtol=0.3)


def test_dropout_of_the_inputs_zeroes_and_rescales_pixels():
    model = mlp(hidden=(40,), dropout_input=0.2, num_classes=1)
    ones, zeros = np.ones((50, 40), np.float32), np.zeros(40, np.float32)
    params = {'dense1': {'kernel': np.eye(40, dtype=np.float32), 'bias': zeros}}
    params['head'] = {'kernel': np.ones((40, 1), np.float32), 'bias': zeros[:1]}
    hidden = model.apply({'params': params}, ones, train=True, rngs={'dropout': jax.random.key(1)})['hidden1']
    np.testing.assert_allclose(np.unique(hidden), [0.0, 1 / 0.8])
    np.testing.assert_allclose(np.mean(hidden == 0), 0.2, atol=0.05)
