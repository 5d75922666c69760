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
# # 16 · A better recipe: the same model, trained otherwise
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/16_better_recipe.ipynb)
#
# **Beyond the paper.** The paper names its weak points: low recall, a high FID, a codebook that is not all used. Here the model keeps its sizes, its $K$ and its $L$, and only its training changes: how gradients pass the quantizer, when quantization starts, what keeps the codebook near the latents, which tokens the encoder gets, and whether the decoder is trained on *recombined* codes, from which it has to make samples. One change at a time, then together.
#
# **Afterwards you can**
#
# - say what each change does to a gradient, a loss or the codebook, and where it comes from;
# - tell a change that helps from one that is within the seeds;
# - tell a better recipe from more training.
#
# Read with it: Sections 3.5 to 3.7 and 5 of [the paper](https://arxiv.org/abs/2604.01843), and the ablations of [notebook 03](03_train.ipynb). `./run_all.sh --extras` runs this notebook after the others.
#
# | | |
# |---|---|
# | needs | stored rows, which `benchmarks/complete_recipes.py` makes in hours; recipes that are trained here are shown too |
# | makes | `recipes`, `recipes_compared`, `recipes_side_by_side` in `figures/<profile>/` |

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
# These are the parameters. `retrain` trains all variants here, with three seeds, instead of showing the stored rows: hours; an interrupted training resumes. Otherwise nothing is trained, and `force` changes nothing.

# %% tags=["parameters"]
profile = "quick"
seed = 0
data = ""
layout = ""
on_error = "raise"
steps = 0
force = False
retrain = False
device = "auto"

# %% [markdown]
# The next cell imports what is needed, and sets the configuration and the style of all figures.

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from pivq.config import load_config
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.pictures import plot_images
from pivq.figures.rival_charts import plot_rivals
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.rivals.recipe.quantizers import gaussian_distance, rotate
from pivq.runs.beyond.comparison import comparison_facts, means, seeds_in_words
from pivq.runs.beyond.recipe_findings import MEASURES, recipes_frame, said
from pivq.runs.beyond.recipes import (
    MINUTES_PER_SEED,
    TOGETHER,
    USUAL,
    VARIANTS,
    is_trained,
    run_recipes,
    samples_of,
    stored_recipes,
)
from pivq.runs.provenance import caption, seed_everything, stamp
from pivq.storage.paths import figures_dir, stored_file

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# ## The changes
#
# **Rotation trick.** Between a latent $e$ and its code $q$ there is no gradient. *Straight through* takes the gradient $g$ at $q$ over to $e$ as it is. The rotation trick treats the map that turns $e$ into $q$ as a constant: with directions $\hat e$, $\hat q$ and $r \propto \hat e + \hat q$,
#
# $$q = \lambda R\, e, \qquad R = I - 2 r r^\top + 2 \hat q \hat e^\top, \qquad \lambda = \lVert q \rVert / \lVert e \rVert ,$$
#
# so that $e$ gets $\lambda R^\top g$: the angle between gradient and vector stays what it was. The next cell shows it for $e = (1, 0)$, $q = (0, 2)$ and $g = q$. Straight through would send $(0, 2)$, which turns $e$; the rotation sends a gradient along $e$, which only lengthens or shortens it.

# %%
latent, code = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([0.0, 2.0])
rotate(latent, code).backward(code)
across, along = latent.grad[1], latent.grad[0]
display(Markdown(f"Gradient at the latent: {along:.2f} along it, {abs(across):.2f} across it."))

# %% [markdown]
# **Warm-up.** Up to step $T_q$ the model is an autoencoder without a quantizer (Section 3.7). Zhao et al. find that a longer warm-up leaves a codebook of higher *effective dimension*: the number of principal components that explain 99% of its variance. Here $T_q$ is halved, and raised by half.
#
# **Projected codes.** Codes have $d/4$ numbers, with a linear map before the quantizer and one after it: nearest codes are easier to find in few dimensions. This caps the effective dimension, the opposite bet.
#
# **Distribution matching.** A code that no latent takes gets no gradient. Wasserstein-VQ adds, with a weight, the distance between two Gaussians, with the mean and covariance $m, A$ of recent latents and $n, B$ of the codebook:
#
# $$W^2 = \lVert m - n \rVert^2 + \operatorname{tr}\!\big(A + B - 2 (A^{1/2} B A^{1/2})^{1/2}\big).$$
#
# It moves the whole codebook to where the latents are. The next cell computes it for a codebook with the latents' moments and for the same one shifted by one standard deviation in each of four dimensions; the first must be 0, the second $\sqrt 4 = 2$.

# %%
normal = torch.randn(4000, 4)
normal = (normal - normal.mean(dim=0)) / normal.std(dim=0)
shifted = normal + normal.std(dim=0)
near, far = (gaussian_distance(normal, codebook) for codebook in (normal, shifted))
display(Markdown(f"$W$ of the same moments: {near:.3f}; shifted: {far:.3f}."))

# %% [markdown]
# **Re-seeded codes.** A code that no latent took in $W$ steps is set to a recent latent.
#
# **Tokens.** Learned tokens are names: each latent takes codes of its own ([notebook 09](09_when_codes_compete.ipynb)). Shuffling them would change nothing, because neither the encoder's transformer nor the decoder sees an order. What changes something is to draw the tokens anew for every image, or to add noise to the learned ones.
#
# **Recombined.** Samples are decoded from recombined codes (Algorithm 1), which the decoder never sees in training. Here it does: in each step from the start of the adversarial loss on, pairs of the batch are recombined and decoded, the discriminator judges these images as it does reconstructions, and the decoder gets the gradient. There is no target image, so no other loss applies to them.
#
# **Together** has several of these; the table says which. **As trained** is the paper's recipe. **As trained, longer** is the same with 1.5 times as many steps: the control for recipes whose steps take longer.
#
# All are trained half as long as the profile says, as the ablations of [notebook 03](03_train.ipynb) are. Without changes the trainer is the paper's, bit for bit, which a test checks. The next cell lists the variants.

# %%
table = pd.DataFrame(
    [
        {"variant": one.name, "changes": str(one.recipe.changes or "none"), "length": one.length}
        for one in VARIANTS
    ]
)
display(styled(table))

# %% [markdown]
# The next cell reads the stored rows. If there are none yet, it says how they are made.

# %%
if retrain:
    rows = run_recipes(config, device=device, anew=True)
    save_json({"rows": rows} | comparison_facts(rows, config), "recipes", config)
else:
    rows = stored_recipes(profile)
own = stored_file("recipes", profile).parent == figures_dir(profile, seed)
frame = recipes_frame(rows)
seeds = frame["seed"].nunique()
if rows:
    facts = {"rows": len(rows), "seeds": seeds, "profile": rows[0]["profile"]}
    facts["devices"] = ", ".join(sorted({row["device"] for row in rows}))
    display(facts_table(facts))
else:
    display(
        Markdown(
            "**There are no rows yet.** `python benchmarks/complete_recipes.py` trains and "
            f"measures all variants: about {MINUTES_PER_SEED} minutes of one CPU core for each of "
            "three seeds. It resumes when it is interrupted; `--seeds 0 --only recombined` makes "
            "one row. Everything below stays empty until then."
        )
    )
origin = f"rows of profile {rows[0]['profile']}" if rows else "no rows"
line = caption(config, note=f"{origin}, {seeds_in_words(frame)}; k = 3")

# %% [markdown]
# ## All measures
#
# Means over the seeds of the training, with the deviation between them. FD is the Fréchet distance in EfficientNet features, of samples of Algorithm 1 unless it says reconstructions. *Real* compares with training faces; *own* with the model's reconstructions of them, which leaves out what decoding costs. All have as many images on both sides; [notebook 06](06_sample_quality.ipynb) measures the FD to real faces against all training faces, which makes it a little smaller. Seconds are left out where other work shared the cores.

# %%
if rows:
    words = {name: text for name, (_, text, _) in MEASURES.items()}
    table = means(frame, [*MEASURES, "steps"]).rename(columns=words)
    if own:
        save_table(table, "recipes", config, line)
    display(styled(table.set_index("name").T.reset_index(names="measure")))

# %% [markdown]
# The figure has the headline: each point is a seed, and the line is their mean. PSNR is in dB.

# %%
panels = {"psnr": "PSNR (dB), reconstructions", "fd_real": "FD to real faces", "recall": "recall"}
if rows:
    figure = plot_rivals(frame, panels, USUAL)
    if own:
        save_figure(figure, "recipes_compared", config, line)

# %% [markdown]
# **What to look at.** Which variants have points that lie apart from those of the usual recipe? With two or three seeds, a mean that moves less than the points spread says nothing.
#
# ## What helps
#
# The sentences are computed from the rows. A difference counts if the worst seed of one is better than the best of the other. A change *helps* if its samples are nearer to real faces with all seeds, and its recall is not lower with all seeds.

# %%
display(Markdown("\n".join(f"- {sentence}" for sentence in said(frame))))

# %% [markdown]
# ## Side by side
#
# The pictures need trained models: samples of the usual recipe and of all changes together, from the same pairs of parents, where both are trained here with this profile and seed.

# %%
shown = [one for one in VARIANTS if one.name in (USUAL, TOGETHER) and is_trained(config, one)]
if shown:
    pictures = [samples_of(config, one, 10, device) for one in shown]
    figure = plot_images(
        torch.cat(pictures), columns=10, row_labels=[one.name for one in shown]
    )
    save_figure(figure, "recipes_side_by_side", config, caption(config, note="samples"))
else:
    display(Markdown("No recipe of this profile and seed is trained here."))

# %% [markdown]
# ## To train by a recipe
#
# `pivq.runs.beyond.recipe_training.train_recipe(config, "improved")` trains the model of any profile with the changes of `pivq.rivals.recipe.settings.IMPROVED`, with which nearly every code stays in use; on the command line it is `pivq train --recipe improved`. The name of one change, or a `Recipe` of your own, works in the same way.
#
# ## What this does not say
#
# The stored rows are of small models, trained for minutes on drawn faces, and each change has one strength, taken from its authors or assumed, not tuned. One that does not help here may help at the paper's scale, where the codebook is larger and training longer.

# %% [markdown]
# ## Summary
#
# - Each change acts in one place: on the gradient that passes the quantizer, on the codebook, on the tokens, or on what the decoder sees in training.
# - A change helps only where all seeds agree. Compare it also with the usual recipe trained longer.
# - Samples and reconstructions are judged apart: a change can help one and cost the other.
#
# Next: [docs/findings.md](https://github.com/REPOSITORY/blob/main/docs/findings.md) has the findings of all notebooks in two pages.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Rotation trick.** C. Fifty et al.: Restructuring Vector Quantization with the Rotation Trick. [arXiv:2410.06424](https://arxiv.org/abs/2410.06424), 2024.
# - **Warm-up and effective dimension.** X. Zhao et al.: Continuous First, Discrete Later: VQ-VAEs Without Dimensional Collapse. [arXiv:2605.06870](https://arxiv.org/abs/2605.06870), 2026.
# - **Projected codes.** J. Yu et al.: Vector-quantized Image Modeling with Improved VQGAN. [arXiv:2110.04627](https://arxiv.org/abs/2110.04627), 2021.
# - **Distribution matching.** X. Fang et al.: Enhancing Vector Quantization with Distributional Matching. [arXiv:2506.15078](https://arxiv.org/abs/2506.15078), 2025. Another way to the same end: B. Zhang et al.: Preventing Local Pitfalls in Vector Quantization via Optimal Transport. [arXiv:2412.15195](https://arxiv.org/abs/2412.15195), 2024.
# - **Re-seeded codes.** W. Williams et al.: Hierarchical Quantized Autoencoders. [arXiv:2002.08111](https://arxiv.org/abs/2002.08111), 2020.

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(facts_table(stamp(config, rows=len(rows))))
