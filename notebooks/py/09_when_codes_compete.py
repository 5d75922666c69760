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
# # 09 · When do latents compete for codes?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/09_when_codes_compete.ipynb)
#
# **Claim that is tested here.** With nearest-neighbour quantization, the paper finds "that the maximum per-image codebook usage $K_\text{img}$ over the entire dataset is only 49 out of the maximum 512 […], indicating a large number of repeated codes per image"; matching makes all codes of an image different (Section 4.2, Table 2). That needs latents that *compete* for codes. With the paper's learned tokens, ours do not. When do they?
#
# | | |
# |---|---|
# | needs | the trained models (notebook 03); the study itself comes with the project |
# | makes | `competing_tokens`, `competition`, `competition_samples`, `codes_over_steps`, `codes_by_length` in `figures/<profile>/` |

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
# These are the parameters. `rerun_study` trains the runs of the study here instead of showing the stored ones, about three hours on two cores; an interrupted study resumes. `force` then starts it anew.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
device = "auto"
features = ""
rerun_study = False

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import pandas as pd
from IPython.display import Markdown, display

from pivq import paper
from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.competition_charts import plot_codes_by_length, plot_codes_over_steps
from pivq.figures.style import use_style
from pivq.processes import pick_device
from pivq.runs.competition import USED_IMAGES, describe
from pivq.runs.conclusions import before_and_after, bullets, conclusions
from pivq.runs.findings import study_frame, study_tables
from pivq.runs.models import require_models
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.runs.ready import check_ready
from pivq.runs.splits import load_split
from pivq.runs.study import run_study, study_facts
from pivq.runs.untrained import untrained_model
from pivq.storage.paths import figures_dir, stored_file
from pivq.storage.writing import read_sealed

config = load_config(profile, seed, data, features, layout=layout, on_error=on_error, steps=steps)
check_ready(config, metrics=rerun_study)
seed_everything(seed)
use_style()

# %% [markdown]
# ## Why learned tokens do not compete
#
# A latent is what the encoder's transformer makes of a token that has read the image. The paper's $L$ tokens are **learned**: each is one vector, the same for every image. Our variant **draws** them anew for every image in training, from a normal distribution; then no latent has a name, and what the encoder returns is a set already. Which share of the variance of the latents is the token's (the same in all images), which the image's (the same in all its latents), and which do both make together? The next cell measures it on held-out images that all get the same tokens: first before any training, with a codebook fitted to the latents, then on the trained models of this profile.

# %%
images = {split: load_split(config, split).images[:USED_IMAGES] for split in ("train", "heldout")}
runs = require_models(config)
untrained = {f"{run.config.model.tokens}, untrained": run.config for run in runs.values()}
on = pick_device(device)
models = {name: untrained_model(settings, images["train"], "nearest", on) for name, settings in untrained.items()}
models |= {name: run.model(on) for name, run in runs.items()}
measured = {name: describe(model, images["heldout"]) for name, model in models.items()}
frame = pd.DataFrame([{"model": name, "L": models[name].config.num_codes} | row for name, row in measured.items()])

# %% [markdown]
# The table also has how many codes of an image differ, and how many uses of a code fall to its main token, where each image has a draw of its own; how many of an image's codes stay if other tokens are drawn; and how often both rules give a latent the same code.

# %%
titles = {"token": "variance: token", "image": "variance: image", "both": "variance: both"}
titles |= {"draw_codes": "same codes after another draw", "agreement": "both rules agree"}
titles |= {"dominant_share": "uses by the main token"}
different = {"mean_codes_per_image_drawn": "different codes an image"}
table = frame.rename(columns=titles | different)
save_table(table, "competing_tokens", config, caption(config, note=f"{len(images['heldout'])} held-out images"))
formats = dict.fromkeys(titles.values(), "{:.1%}") | dict.fromkeys(different.values(), "{:.1f}")
display(table.style.format(formats).hide(axis="index"))
display(Markdown(before_and_after(frame)))

# %% [markdown]
# **What to look at.** If a latent is nearly all its token, and the token is the same for every image, k-means gives each token codes of its own: no two latents of an image want the same code, and nearest *is* a matching. Drawn tokens differ from image to image, so no code can belong to one. If the encoder learns to say the same about an image whatever the draw, its latents meet, and want the same codes.

# %%
if not any(name.startswith("drawn") for name in models):
    display(Markdown(f"The profile {profile} trains no models with drawn tokens: the study below shows them."))

# %% [markdown]
# ## The study
#
# Every run has the settings of `quick` with one thing changed: the tokens, their spread, L, K, the codebook's start or the number of steps; all have no discriminator, and T_q = 800 in 2,000 steps unless stated. Most are trained with both quantizers, the row that carries the claim with three seeds. A stored row says on which device it was trained. `./run_all.sh --only 09 --rerun-study` makes them anew; in `smoke`, with small sizes that show nothing.

# %%
if rerun_study:
    trained = run_study(config, device, anew=force)
    save_json({"rows": trained} | study_facts(trained, config), "competition", config)
stored = stored_file("competition", profile, seed)
own = stored.parent == figures_dir(profile, seed)
study = read_sealed(stored)
frame = study_frame(study["rows"])
said = conclusions(frame)
origin = {name: study[name] for name in ("profile", "dataset", "protocol")}
origin |= {"runs": len(frame), "devices": ", ".join(study["devices"]), "trained in this run": rerun_study}
line = f"study: profile {study['profile']}, {study['dataset']}, {len(frame)} runs on {origin['devices']}"
display(pd.DataFrame([origin]).style.hide(axis="index"))

# %% [markdown]
# The first table has reconstruction, codes and capacity; a cell with a range is of several seeds. K_img is the number of different codes of a training image. "Counted once" counts each multiset or set once, where Eq. (2) counts some more often (notebook 04).

# %%
codes, samples = study_tables(frame)
if own:
    save_table(codes, "competition", config, f"{line}; {study['protocol']}")
    save_table(samples, "competition_samples", config, f"{line}; {study['protocol']}")
with pd.option_context("display.max_rows", None):
    display(codes.style.hide(axis="index"))

# %% [markdown]
# ### Do latents compete?

# %%
display(Markdown(bullets(said, "learned", "drawn", "others")))

# %% [markdown]
# The figure shows the different codes of an image over the steps, as a share of L, with nearest. Each sudden rise is a new fit of the codebook.

# %%
figure = plot_codes_over_steps(frame)
if own:
    save_figure(figure, "codes_over_steps", config, f"nearest quantization, mean over held-out images · {line}")

# %% [markdown]
# The figure shows them against L, at the end of training, on all training images.

# %%
figure = plot_codes_by_length(frame, (paper.NUM_CODES, paper.TABLE2[0].codes_per_image))
if own:
    of_paper = f"the paper's point: CelebA-HQ, K = {paper.CODEBOOK_SIZE:,}"
    save_figure(figure, "codes_by_length", config, f"{of_paper} · {line}")
display(Markdown(bullets(said, "steps", "lengths")))

# %% [markdown]
# ### What does matching cost, and what does it gain?
#
# A latent that does not get its nearest code is quantized with a larger error. Does training make up for it?

# %%
display(Markdown(bullets(said, "quality", "longer", "capacity", "codebook")))

# %% [markdown]
# ### Are the samples better?
#
# Here, samples of Algorithm 1 are compared with reconstructions by the same model: what decoding costs is on both sides. A trait comes from nowhere if a sample shows it and neither parent has it; only attributes are counted that the classifier reads well in the pictures of all runs (notebook 05).

# %%
display(samples.style.hide(axis="index"))
display(Markdown(bullets(said, "samples", "decoders", "traits")))

# %% [markdown]
# ### What do the codes say, and does the draw matter?
#
# Probes read attributes from the codes of held-out images (notebook 07). A model with drawn tokens gives other codes to the same image if it draws other tokens; its own inference uses one fixed draw.

# %%
display(Markdown(bullets(said, "probing", "draws")))

# %% [markdown]
# ## What follows

# %%
display(Markdown(said.get("whole", "")))

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(stamp(config, steps=config.train.steps, runs={name: run.folder.name for name, run in runs.items()}))
