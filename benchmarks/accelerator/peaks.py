"""Published peak rates of GPUs in operations per second, for dense matrices; those with sparsity are twice as high."""

from typing import NamedTuple


class Peak(NamedTuple):
    """The rates of one card.

    Attributes:
      bfloat16: for products of bfloat16 matrices that are summed in float32.
      float32: for products of float32 matrices in TF32, as JAX multiplies them by default and PyTorch if it is told to.
      source: the document that gives the rates.
    """

    bfloat16: float
    float32: float
    source: str


H100 = 'NVIDIA H100 Tensor Core GPU datasheet'
A100 = Peak(312e12, 156e12, 'NVIDIA A100 Tensor Core GPU datasheet')
# The names are those of `jax.Device.device_kind`.
PEAKS = {
    'NVIDIA H200': Peak(989e12, 494e12, 'NVIDIA H200 Tensor Core GPU datasheet, SXM'),
    'NVIDIA H100 80GB HBM3': Peak(989e12, 494e12, f'{H100}, SXM'),
    'NVIDIA H100 PCIe': Peak(756e12, 378e12, f'{H100}, PCIe'),
    'NVIDIA A100-SXM4-40GB': A100,
    'NVIDIA A100-SXM4-80GB': A100,
    'NVIDIA A100-PCIE-40GB': A100,
    'NVIDIA A100 80GB PCIe': A100,
    'NVIDIA L40S': Peak(362e12, 183e12, 'NVIDIA L40S GPU datasheet'),
    'NVIDIA L4': Peak(121e12, 60e12, 'NVIDIA L4 Tensor Core GPU datasheet'),
}
