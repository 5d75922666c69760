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
# **What is tested here.** Every number and every claim of the paper that can be checked: the paper's value, ours, a control, and a judgement with its reason. Claims are of three kinds, and are counted by kind, because they say different things:
#
# - *Measured with a control*: a finding. It counts as *reproduced* only where the measurement is beyond what the control gives (an untrained model, a cross-fade, reconstructions, a training with one thing changed), error bars apart where there are any.
# - *By construction*: true of any model, trained or not. A check of the code, no finding.
# - *Recomputed from the paper*: arithmetic on the numbers that the paper prints. Nothing trained is looked at.
#
# *Differs* means that the statement does not hold for what was computed or measured here. *Not decided by this run* means that the run cannot say, because something was not measured or its models show too little. *Needs paper-scale data* means that the number is of other images and features; ours cannot be compared with it, so none is shown.
#
# **Afterwards you can**
#
# - tell a finding from something that is true by construction, and both from arithmetic;
# - read a judgement with its control and its reason, and say what would overturn it.
#
# Read with it: Sections 3 to 5 of [the paper](https://arxiv.org/abs/2604.01843).
#
# | | |
# |---|---|
# | needs | the numbers that notebooks [03](03_train.ipynb) to [07](07_probing.ipynb) left in `figures/<profile>/` |
# | makes | `verdict.md`, `verdict.json`, `results` in `figures/<profile>/` |

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
# These are the parameters. The verdict is always made anew from the saved numbers, so `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False

# %% [markdown]
# The next cell imports what is needed, and loads the configuration. Numbers of another seed, data set or run are refused.

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_json, save_table
from pivq.figures.tables import facts_table, to_markdown, typeset
from pivq.inference import BATCH, reconstruction_errors
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, stamp
from pivq.runs.quality import against_own
from pivq.runs.splits import load_split
from pivq.runs.verdict import counts, judge, load_facts, made_by_other_code, summary
from pivq.runs.verdict.cost import stored_growth
from pivq.runs.verdict.judging import KINDS, in_order

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)

# %% [markdown]
# ## Did the models learn?
#
# Before any claim is judged, the table shows what the models reach on held-out images. *Learned* tokens are what the paper describes; tokens *drawn* anew for every image are our variant, in which its claims about both quantizers can be seen ([notebook 09](09_when_codes_compete.ipynb)). The control is the mean training image, given as the reconstruction of everything. A model that is hardly better shows nothing, and then no claim about its pictures is decided.
#
# **L1** and **PSNR** measure reconstructions ([notebook 00](00_meet_the_faces.ipynb)). *Codes in use* are $K_\text{data}$. **Bits** are the capacity by Eq. (2) for nearest and by Eq. (4) for matching ([notebook 04](04_capacity.ipynb)). Eq. (2) counts a set several times where the codes of an image hardly repeat ([notebook 04](04_capacity.ipynb)), so the column after it counts each set once. The last two columns compare samples of Algorithm 1 with the same model's reconstructions: **FD** is the Fréchet distance of features, then precision and recall ([notebook 06](06_sample_quality.ipynb)).

# %%
runs, facts = require_models(config), load_facts(config)
train, heldout = load_split(config, "train"), load_split(config, "heldout")
mean = (
    torch.stack([batch.float().mean(dim=0) for batch in train.images[:2048].split(256)]).mean(dim=0)
    / 255
)
mean_l1, mean_psnr = reconstruction_errors(
    lambda images: mean.expand_as(images), heldout.images, BATCH, "cpu"
)
capacity = {"learned": facts["capacity"]["models"], "drawn": facts["capacity"].get("drawn")}
rows = []
for name, run in runs.items():
    summary_of, (tokens, quantizer) = run.summary, name.split(", ")
    bits = (capacity[tokens] or {}).get(quantizer, {})
    rows.append(
        {
            "tokens": tokens,
            "quantizer": quantizer,
            "held-out L1": summary_of["heldout_l1"],
            "PSNR (dB)": round(summary_of["heldout_psnr"], 2),
            "codes in use": f"{summary_of['codes_in_use']} of {run.config.model.codebook_size}",
            "codes per image":
            f"{summary_of['mean_codes_per_image']:.2f} of {run.config.model.num_codes}",
            "bits, Eq. (2) / (4)": bits.get("bits"),
            "bits, counted once": bits.get("bits_counted_once"),
        }
        | against_own(facts["sample_quality"], name, config.evaluation.prdc_k[0])
    )
control = {
    "tokens": "–",
    "quantizer": "mean image (control)",
    "held-out L1": mean_l1,
    "PSNR (dB)": round(mean_psnr, 2),
}
results = pd.DataFrame([*rows, control])
words = ["codes in use", "codes per image", "precision, recall"]
results[words] = results[words].fillna("–")
note = f"{facts['probing']['heldout']:,} held-out images"
save_table(results, "results", config, caption(config, config.train.steps, note))
display(Markdown(to_markdown(results)))

# %% [markdown]
# ## What does matching cost?
#
# The paper calls the $\mathcal{O}(n^3)$ of matching "a necessary trade-off" against the $\mathcal{O}(n^2)$ of nearest (Section 3.4). The table has the processor time of both for one image, while $K$ grows to 4096 and $L = K/8$ with it, and the exponent $p$ of the growth $t \propto K^p$. Both rules read all $L K$ distances, so compare the exponents with each other. Times differ from run to run, so these are stored: `python -m pivq.runs.verdict.cost` measures them again.

# %%
cost = stored_growth()
names = {"latents": "latents", "nearest_ms": "nearest (ms)", "matching_ms": "matching (ms)"}
names |= {"ratio": "matching / nearest", "nearest_exponent": "nearest: p"}
names |= {"matching_exponent": "matching: p"}
display(Markdown(to_markdown(pd.DataFrame(cost or []).rename(columns=names))))

# %% [markdown]
# ## Claim by claim
#
# The next cell judges every claim from the saved numbers (the folder `pivq/runs/verdict` has the rules), and counts by kind.

# %%
matching = {
    name.split(", ")[0]: run.summary["heldout_psnr"]
    for name, run in runs.items()
    if "matching" in name
}
judgements = judge(facts | {"cost": cost, "reconstruction": matching | {"mean_image": mean_psnr}})
line, passage = counts(judgements), summary(judgements)
if stale := made_by_other_code(facts):
    warned = f"stale: {', '.join(stale)} made by other code than today's, run their notebooks again"
    line = f"{line}; {warned}"
display(Markdown(f"**{line}**\n\n{passage}"))

# %% [markdown]
# The tables have all of them: the findings first, and of these what is decided. The column *control* has the number that the measurement must be beyond. The paper's setting decides, learned tokens; the column *variant* has what tokens drawn anew for every image show, where it was measured.

# %%
frame = pd.DataFrame(in_order(judgements))
for kind, part in frame.groupby("kind", sort=False):
    shown = part.drop(
        columns=["id", "kind"] + ([] if "control" in kind else ["control", "variant"])
    )
    table = typeset(to_markdown(shown), markdown=True)
    display(Markdown(f"### {kind[0].upper()}{kind[1:]}: {KINDS[kind]}\n\n{table}"))
introduction = f"**{line}**\n\nOf what was measured:\n\n{passage}"
made = caption(config, config.train.steps, f"{len(frame)} claims")
save_table(frame.drop(columns="id"), "verdict", config, made, introduction)
numbers = {"judgements": frame.to_dict("records"), "counts": line, "summary": passage}
save_json(numbers | stamp(config, config.train.steps), "verdict", config);

# %% [markdown]
# **How to read it.** Measured claims rest on the models and images of this profile, and on one seed where no other number is given: *reproduced* says that the effect is there at this scale and beyond its control, *differs* that it is not. Neither settles what happens at another scale or on other images. A judgement is more than an observation only if it is the same over several seeds (`--seed`).

# %% [markdown]
# ## Summary
#
# - Claims are counted by kind, because only those that are measured with a control can be findings.
# - *Differs* and *not decided* are results, too; each has its reason.
# - All of it is about the models and images of this profile, and one seed unless stated.
#
# Next: [notebook 09](09_when_codes_compete.ipynb) is about the claim that needs a change of the model to be seen.

# %% [markdown]
# ## Exercises
#
# Each answer is folded below its exercise, except in the student version of this notebook. Times and a marking guide are in [docs/teaching.md](https://github.com/REPOSITORY/blob/main/docs/teaching.md).

# %% [markdown]
# ### Exercise 8.1: three kinds
#
# Sort these statements into *measured*, *by construction* and *arithmetic*: (a) shuffled codes give the same image; (b) matching always has $L$ different codes per image; (c) 2,221 bits; (d) samples are novel; (e) the average of the FIDs in Table 3.
#
# <details><summary>Answer</summary>
#
# (a) by construction: attention is a sum. (b) by construction: it is the rule. (c) arithmetic: Eq. (4) with the paper's sizes; a measurement only as far as the number of codes in use goes into it. (d) measured. (e) arithmetic. Only (d) could have come out otherwise.
#
# </details>

# %% [markdown]
# ### Exercise 8.2: by chance
#
# Suppose 20 claims are tested, each with a test that errs in 5% of all cases, and none of the claims is true. How many would come out as "reproduced"? With which probability at least one? What follows for a verdict on one seed?
#
# <details><summary>Answer</summary>
#
# One on average; at least one with probability $1 - 0.95^{20} = 64\%$. So a single *reproduced* on one seed proves little. Look for a large effect, a reason, and other seeds (`--seed`).
#
# </details>

# %% [markdown]
# ### Exercise 8.3: overturn one
#
# Choose a claim that is judged *differs* above. Which experiment would you do to overturn the judgement? Say in advance which result would convince you of the opposite.
#
# <details><summary>Answer</summary>
#
# For example "nearest's images have few codes", with learned tokens: train with $L = 512$ and $K = 4096$ for as long as the paper, and count the different codes per image and which token uses which code. If an image has far fewer than $L$ codes, *and* has fewer than before training, the judgement falls. If each token keeps its own codes, it stands, and the paper's 49 must come from something else in its model.
#
# </details>

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **The base code.** S. Bond-Taylor, P. Hessey, H. Sasaki, T. P. Breckon, C. G. Willcocks: Unleashing Transformers: Parallel Token Prediction with Discrete Absorbing Diffusion for Fast High-Resolution Image Generation from Vector-Quantized Codes. ECCV 2022. [doi:10.1007/978-3-031-20050-2_11](https://doi.org/10.1007/978-3-031-20050-2_11).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's tables.

# %%
facts = stamp(
    config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}
)
display(facts_table(facts))
