# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # CelebA in one Colab session
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/colab.ipynb)
#
# **What this does.** On one GPU (a free T4 is enough), it trains the paper's two models, matching and nearest, on CelebA at 64 × 64, with the profile `celeba64_short`: the paper's method and losses at half the width, in a training of hours instead of days. Then it runs the numbered notebooks, so that every figure and table is made, each number next to the paper's. All results go to your Google Drive. After a disconnect, run all cells again: finished work is loaded, and an interrupted training is resumed.
#
# Before you start: choose *Runtime → Change runtime type → T4 GPU*, and put CelebA's three files into the folder `celeba` of your Drive ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md) says which, how long it takes on which card, and what to do if something fails).
#
# | | |
# |---|---|
# | needs | a GPU; on your Drive `img_align_celeba.zip`, `list_attr_celeba.txt` and `list_eval_partition.txt`; 650 MB of weights, which it downloads |
# | makes | runs, executed notebooks, figures and tables in the folder `pivq` on your Drive |

# %% [markdown]
# In a checkout, the next cell uses that checkout; elsewhere, as on Colab, it fetches and installs the project ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md)).

# %%
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.append(str(Path.cwd().parent))
if find_spec("pivq") is None:
    clone = "git clone --depth 1 https://github.com/REPOSITORY companion"
    install = f"'{sys.executable}' -m pip install -q -e companion"
    subprocess.run(f"([ -d companion ] || {clone}) && {install}", shell=True, check=True)
    sys.path.append("companion")

# %% [markdown]
# These are the parameters. `data` and `results` are folders on your Drive. `budget` is the time for both trainings: twenty steps are measured, and as many are trained as fit, at most the profile's; "" trains all of them. `notebooks` are those that run after the training. `on_error = "skip"` leaves out images that cannot be read. `force` trains again.

# %% tags=["parameters"]
profile = "celeba64_short"
seed = 0
data = "celeba"
layout = ""
on_error = "raise"
results = "pivq"
budget = "3h"
notebooks = "0-8"
device = "cuda"
precision = "auto"
force = False

# %% [markdown]
# ## GPU and Drive
#
# The next cell names the GPU. If it says that there is none, choose one (*Runtime → Change runtime type*) and run all cells again.

# %%
import os
from pathlib import Path

import torch
from google.colab import drive
from IPython.display import Image, Markdown, display

from pivq.processes import pick_device

where = pick_device(device)
name = torch.cuda.get_device_name(where) if where.type == "cuda" else "a CPU: much slower"
print(f"Training on {name}.")

# %% [markdown]
# Colab now asks whether this notebook may use your Drive. Runs and figures go there. Decoded images go to the runtime's own disk, which is faster and is emptied when the runtime ends. (`PIVQ_CONTENT` names another place than Colab's `/content`.)

# %%
content = os.environ.get("PIVQ_CONTENT", "/content")
drive.mount(f"{content}/drive")
mine = Path(content, "drive", "MyDrive")
os.environ["PIVQ_ROOT"] = str(mine / results)
os.environ["PIVQ_DATA"] = str(Path(content, "data"))

# %% [markdown]
# ## What is there, and what is missing
#
# The weights of VGG16 (for the loss) and Inception (for FID) are downloaded if they are missing. Then one table says what the profile needs and what was found.

# %%
import gc
import importlib.util
import shlex
import sys

from IPython import get_ipython

from pivq.config import load_config
from pivq.figures.live import plot_training
from pivq.precision import use_precision
from pivq.pretrained.weights import WEIGHTS
from pivq.runs.budget import steps_within
from pivq.runs.cost import expected_cost
from pivq.runs.models import models
from pivq.runs.parallel import train_together
from pivq.runs.replacing import set_aside
from pivq.storage.paths import figures_dir, results_page

config = load_config(profile, seed, str(mine / data), layout=layout, on_error=on_error)
use_precision(precision)
shell, python = get_ipython(), [sys.executable, "-P", "-m"]
if {config.train.perceptual_network, config.evaluation.features} & WEIGHTS.keys():
    shell.system(shlex.join([*python, "pivq", "download", "weights"]))
if importlib.util.find_spec("papermill") is None:  # runs notebooks; Colab does not bring it
    shell.system(shlex.join([*python, "pip", "install", "-q", "papermill"]))
which = ["--profile", profile, "--data", config.data]
which += ["--layout", layout] if layout else []
shell.system(shlex.join([*python, "pivq", "doctor", *which]))

# %% [markdown]
# ## Training
#
# The zip is read as it is, and its images are decoded once to the runtime's disk: some minutes. Then twenty of the slowest steps are timed. The choice of steps is kept with the results, so that the same training is resumed after a disconnect, also on another card.

# %%
if budget:
    steps, said = steps_within(config, budget, device)
    print(said)
    reading = {"layout": layout, "on_error": on_error}
    config = load_config(profile, seed, config.data, **reading, steps=steps)
cost = expected_cost(config, device=device)
print(cost or "The training has begun before: it is resumed, or loaded if it is finished.")

# %% [markdown]
# The steps before $T_q$ are the same for both quantizers and are trained once. Curves, reconstructions of held-out faces and, from $T_q$ on, samples of Algorithm 1 from their codes are drawn anew after each validation.

# %%
jobs = models(config)
if force:
    print(f"force = True: the runs of {len(jobs)} models are trained again.")
    for job in jobs.values():
        set_aside(job.config, [job.quantizer])
    force = False  # this cell can be interrupted, and run again to resume
runs = train_together(list(jobs.values()), device, draw=plot_training)

# %% [markdown]
# ## Every figure and table
#
# The numbered notebooks now run as `run_all.sh` runs them, one after the other. They load the models that were just trained.

# %%
gc.collect()
torch.cuda.empty_cache()  # the notebooks have kernels of their own, which need the GPU's memory
words = [*which, "--on-error", on_error, "--seed", seed, "--device", device]
words += ["--steps", config.train.steps]
words = [*python, "pivq.commands.run_all", *words, "--only", notebooks]
shell.system(shlex.join(map(str, words)))
if shell.user_ns["_exit_code"]:
    raise RuntimeError("not all notebooks ran: mend what is said above, and run this cell again")

# %% [markdown]
# ## Results
#
# The page of all results and the executed notebooks are on your Drive, too. Each number stands next to the paper's.

# %%
figures = figures_dir(profile, seed)
print(f"Everything on one page: {results_page(profile, seed)}\nFigures and tables: {figures}")
for picture in ("training_curves", "reconstructions", "samples_with_parents"):
    if (file := figures / f"{picture}.png").exists():
        display(Image(file, width=700))
for text in ("table2_capacity", "table3_metrics", "verdict"):
    if (file := figures / f"{text}.md").exists():
        display(Markdown(file.read_text(encoding="utf-8")))
