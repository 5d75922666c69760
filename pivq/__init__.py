"""PI-VQ: permutation-invariant vector-quantized autoencoders, a companion to arXiv:2604.01843.

Importing this package loads nothing else; `pivq.capacity`, `pivq.config` and `pivq.paths` need the standard library
alone.
"""

__version__ = "0.1.0"
