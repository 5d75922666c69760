"""PI-VQ: permutation-invariant vector-quantized autoencoders, a companion to arXiv:2604.01843.

The files here are the paper, section by section; the folders make the companion run.

| file | what of the paper |
|---|---|
| `layers`, `model` | Section 3.2: encoder, quantizer, decoder |
| `quantizers` | Section 3.3, Eq. (1), nearest neighbour; Section 3.4, matching quantization |
| `matching` | Section 3.4, Eq. (3): the minimum-cost matching |
| `capacity` | Section 3.4, Eqs. (2) and (4); Fig. 4 |
| `usage` | K_data, K_img and which learned token uses which code; Table 2 |
| `sampling` | Section 3.5: Algorithm 1, smooth paths |
| `losses`, `discriminator`, `trainer` | Section 3.6: training |
| `codebook_init` | Section 3.7: delayed codebook initialisation |
| `probing` | Section 3.8; Fig. 5 |
| `paper` | what the paper prints: its tables, and the claims that can be checked |
| `config`, `profiles` | the settings; every value of every profile with its source |
| `inference`, `processes` | many images through a model; the device and processes that share a batch |

| folder | what it holds |
|---|---|
| `solvers/` | the exact assignment solvers behind `matching` |
| `metrics/` | Section 4.3, Table 3: the Fréchet distance, precision, recall, density, coverage |
| `data/` | data sets: drawn faces, CelebA, CelebA-HQ, FFHQ, any folder |
| `pretrained/` | networks that are never trained: perceptual loss, features of the metrics |
| `figures/` | figures, tables and the list of them |
| `runs/` | trained once, found again: runs, stages, costs, measurements |
| `runs/verdict/` | every claim of the paper, judged |
| `runs/beyond/` | beyond the paper, notebooks 11 to 16: what is measured there, and the rows that are kept |
| `rivals/` | beyond the paper: what is trained beside its model, as rivals to it or as a prior over its sets |
| `storage/` | what is on disk: paths, whole files, locks, checkpoints, exported models |
| `commands/` | `run_all.sh`, the pages that it writes, and the command `pivq` |

Importing this package loads nothing else; `pivq.capacity`, `pivq.config`, `pivq.profiles` and `pivq.storage.paths` need
the standard library alone. Imports go one way; `tests/test_repository.py` has who may import whom.
"""

import warnings

__version__ = "0.1.0"

# accelerate imports notebook progress bars, which nothing here uses; without ipywidgets that warns in every notebook.
warnings.filterwarnings("ignore", message="IProgress not found")
