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
# # 08 · The verdict
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/pi-vq/companion/blob/main/notebooks/08_verdict.ipynb)
#
# **What is tested here.** Every number and every claim of the paper that can be checked: the paper's value, ours, and a judgement with its reason. *Reproduced* means that the statement holds for what was computed or measured in this run; *differs* that it does not, and why; *needs paper-scale data* that this run cannot say, whatever it measured.
#
# | | |
# |---|---|
# | needs | the numbers that notebooks 03 to 07 left in `figures/<profile>/` |
# | makes | `verdict.md`, `verdict.json`, `results` in `figures/<profile>/` |
# | cost | seconds; 0.5 GB of memory |

# %% [markdown]
# So that `import pivq` works: a notebook opened in a checkout finds it there; one opened by itself, as on Colab, fetches the project and installs what is missing, leaving Colab's torch and numpy as they are. Nothing is mounted.
#
# *On Colab, to keep runs and checkpoints through a disconnect*, do this before the next cell: `from google.colab import drive; drive.mount("/content/drive"); import os; os.environ["PIVQ_ROOT"] = "/content/drive/MyDrive/pivq"`; a training then goes on from its last checkpoint. *To bring CelebA*, put `img_align_celeba.zip`, `list_attr_celeba.txt` and `list_eval_partition.txt` into a folder there, and give it as `data`, with `profile = "celeba64"`, in the parameters below.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("pivq") is None:
    clone = Path.cwd() / "companion"
    checkout = next((folder for folder in (clone, *Path.cwd().parents) if (folder / "pivq").is_dir()), clone)
    if checkout == clone:
        if not (clone / "pivq").is_dir():
            subprocess.run(["git", "clone", "--depth", "1", "https://github.com/pi-vq/companion", clone], check=True)
        subprocess.run([sys.executable, clone / "notebooks" / "colab.py"], check=True)  # again, if it failed before
    sys.path.insert(0, str(checkout))

# %% [markdown]
# The parameters. The verdict is always drawn up anew from the numbers that are there, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
force = False

# %% [markdown]
# Imports and the configuration.

# %%
import pandas as pd
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_json, save_table
from pivq.figures.tables import to_markdown
from pivq.runs.provenance import caption, stamp
from pivq.runs.run import require_run
from pivq.verdict import judge, load_facts

config = load_config(profile, seed, data)

# %% [markdown]
# ## Did the models learn?
#
# Before any claim is judged: what the two models reach on held-out faces. A model that reconstructs nothing would make every later number meaningless.

# %%
runs = {name: require_run(config, name) for name in ("matching", "nearest")}
facts = load_facts(config)
rows = []
for name, run in runs.items():
    summary = run.summary
    rows.append({
        "model": name, "held-out L1": round(summary["heldout_l1"], 4), "PSNR (dB)": round(summary["heldout_psnr"], 2),
        "codes in use": f"{summary['codes_in_use']} of {config.model.codebook_size}",
        "codes an image": f"{summary['mean_codes_per_image']:.2f} of {config.model.num_codes}",
        "bits, Eq. (2) / (4)": round(facts["capacity"]["models"][name]["bits"], 1),
    })
results = pd.DataFrame(rows)
save_table(results, "results", profile, caption(config, config.train.steps, f"{facts['probing']['heldout']:,} held-out images"))
display(Markdown(to_markdown(results)))

# %% [markdown]
# ## Claim by claim

# %%
judgements = pd.DataFrame(judge(facts))
count = judgements["judgement"].value_counts()
display(Markdown("**" + ", ".join(f"{number} {name}" for name, number in count.items()) + "**"))
shown = judgements.drop(columns="id")
line = caption(config, config.train.steps, ", ".join(f"{number} {name}" for name, number in count.items()))
save_table(shown, "verdict", profile, line)
save_json({"judgements": judgements.to_dict("records")} | stamp(config, config.train.steps), "verdict", profile)
display(Markdown(to_markdown(shown)))

# %% [markdown]
# **How to read it.** Arithmetic claims are checked to the printed digit. Measured claims rest on one seed, small models and drawn faces: *reproduced* says that the effect is there at this scale, *differs* that it is not, and neither settles what happens at L = 512 on photographs. A judgement would have to be the same over several seeds (`--seed`) to be more than an observation.
#
# ## Provenance

# %%
display(stamp(config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}))
