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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/08_verdict.ipynb)
#
# **What is tested here.** Every number and every claim of the paper that can be checked: the paper's value, ours, and a judgement with its reason. *Reproduced* means that the statement holds for what was computed or measured in this run; *differs* means that it does not, and says why; *needs paper-scale data* means that this run cannot say, whatever number it measured.
#
# | | |
# |---|---|
# | needs | the numbers that notebooks 03 to 07 left in `figures/<profile>/` |
# | makes | `verdict.md`, `verdict.json`, `results` in `figures/<profile>/` |

# %% [markdown]
# In a checkout, the next cell uses that checkout; elsewhere, as on Colab, it fetches and installs the project ([docs/colab.md](https://github.com/REPOSITORY/blob/main/docs/colab.md)).

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("pivq") is None:
    checkout = Path.cwd().parent
    if not (checkout / "pivq").is_dir():
        checkout = Path.cwd() / "companion"
        if not checkout.exists():
            subprocess.run(["git", "clone", "--depth", "1", "https://github.com/REPOSITORY", checkout], check=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", checkout], check=True)
    sys.path.insert(0, str(checkout))

# %% [markdown]
# These are the parameters. The verdict is always made anew from the saved numbers, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
force = False

# %% [markdown]
# The next cell imports what is needed, and loads the configuration. Numbers of another seed, data set or run are refused.

# %%
import pandas as pd
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_json, save_table
from pivq.figures.tables import to_markdown
from pivq.runs.provenance import caption, stamp
from pivq.runs.run import require_run
from pivq.verdict import judge, load_facts

config = load_config(profile, seed, data, layout=layout, on_error=on_error)

# %% [markdown]
# ## Did the models learn?
#
# Before any claim is judged, the table shows what the two models reach on held-out faces. A model that reconstructs nothing would make every later number meaningless.

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
note = f"{facts['probing']['heldout']:,} held-out images"
save_table(results, "results", config, caption(config, config.train.steps, note))
display(Markdown(to_markdown(results)))

# %% [markdown]
# ## Claim by claim
#
# The next cell judges every claim from the saved numbers (`pivq/verdict.py` has the rules).

# %%
judgements = pd.DataFrame(judge(facts))
counts = ", ".join(f"{number} {name}" for name, number in judgements["judgement"].value_counts().items())
display(Markdown(f"**{counts}**"))
shown = judgements.drop(columns="id")
line = caption(config, config.train.steps, counts)
save_table(shown, "verdict", config, line)
save_json({"judgements": judgements.to_dict("records")} | stamp(config, config.train.steps), "verdict", config)
display(Markdown(to_markdown(shown)))

# %% [markdown]
# **How to read it.** Arithmetic claims are checked to the printed digit. Measured claims rest on one seed and on the models and images of this profile: *reproduced* says that the effect is there at this scale, *differs* that it is not. Neither settles what happens at another scale or on other images. A judgement is more than an observation only if it is the same over several seeds (`--seed`).
#
# ## Provenance
#
# The stamp says what made this notebook's tables.

# %%
display(stamp(config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}))
