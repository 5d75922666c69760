"""PI-VQ: permutation-invariant vector-quantized autoencoders, a companion to arXiv:2604.01843.

Importing this package loads nothing else; `pivq.capacity`, `pivq.config` and `pivq.paths` need the standard library
alone.
"""

import warnings

__version__ = "0.1.0"

# accelerate imports notebook progress bars, which nothing here uses; without ipywidgets that warns in every notebook.
warnings.filterwarnings("ignore", message="IProgress not found")
