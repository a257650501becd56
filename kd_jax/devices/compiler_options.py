"""Which options of the compiler a program gets."""

import functools

import jax

# Which operations XLA hands to the library YNNPACK on CPUs. By default convolutions are among them and elementwise
# operations are not.
TO_YNNPACK = 'xla_cpu_experimental_ynn_fusion_type'
CONVOLUTIONS_ON_CPU = (
    TO_YNNPACK,
    'LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_ELTWISE',
)
LAYERS_ON_CPU = (TO_YNNPACK, 'LIBRARY_FUSION_TYPE_DOT')
LAYERS_IN_BFLOAT16_ON_CPU = (TO_YNNPACK, 'LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT')


def compiler_options(
    platform: str, convolves: bool, loops_over_layers: bool = False, matmul_precision: str = 'default'
) -> dict[str, str]:
    """The compiler options of a program, for `jax.jit(..., compiler_options=...)`.

    Programs with convolutions on CPUs get `CONVOLUTIONS_ON_CPU`. Their steps then take less time, because YNNPACK is
    slow at the gradients of kernels. Decoders and encoders, whose layers are a loop, get `LAYERS_ON_CPU`, or
    `LAYERS_IN_BFLOAT16_ON_CPU` where their matrix products take bfloat16, which the former slows down. Other programs
    get nothing, because the default was the fastest there. docs/performance.md has the measurements. A jax
    that does not know the option compiles without it.

    The last digits of a result depend on these options. Programs that must agree bit for bit, such as training with a
    live teacher and the recording of its outputs, must therefore get the same ones.

    Args:
      platform: the platform of the devices that run it, for example 'cpu'.
      convolves: whether a network in it has a convolution over images.
      loops_over_layers: whether a network in it is a loop over its layers (`Network.layer_stacks`).
      matmul_precision: that of the program.
    """
    if platform != 'cpu' or not (convolves or loops_over_layers):
        return {}
    of_layers = LAYERS_IN_BFLOAT16_ON_CPU if matmul_precision == 'bfloat16' else LAYERS_ON_CPU
    option = CONVOLUTIONS_ON_CPU if convolves else of_layers
    return dict([option]) if is_known(*option) else {}


@functools.cache
def is_known(option: str, value: str) -> bool:
    """Whether this version of jax knows an option of the compiler and this value of it: it compiles a tiny program."""
    try:
        jax.jit(lambda x: x, compiler_options={option: value}).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True
