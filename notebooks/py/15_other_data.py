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
# # 15 · Other pictures: what transfers
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/REPOSITORY/blob/main/notebooks/15_other_data.ipynb)
#
# **Beyond the paper.** The paper asks whether positions are needed for *spatially aligned* images, and answers with faces alone. All numbers of the notebooks before this one are of faces, too; those of the default profile are of drawn ones. Here the same method is trained on other aligned pictures: handwritten digits, printed letters, and any folder of pictures, such as photo-like faces. Each finding of [docs/findings.md](https://github.com/REPOSITORY/blob/main/docs/findings.md) gets a rule that was fixed before anything was measured. Two rules became stricter afterwards, and none more lenient: what a coin may give decides nothing, and mixtures of a model that rebuilds nothing are not judged. Which of them are about the method, and which about our faces?
#
# **Afterwards you can**
#
# - run the profile `folder` on a set of your own, with labels;
# - say which findings hold on every set, and which depend on the data;
# - judge by a rule and a control, and not by a picture.
#
# Read with it: Sections 3.4, 3.5 and 4.1 of [the paper](https://arxiv.org/abs/2604.01843). `./run_all.sh --extras` runs this notebook after the others.
#
# | | |
# |---|---|
# | needs | stored rows, which `benchmarks/complete_other_data.py` makes |
# | makes | `other_data`, `other_data_transfer`, `other_data_compared`, `other_data_pictures` in `figures/<profile>/` |

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
# These are the parameters. `retrain` trains on digits and glyphs here instead of showing the stored rows: about an hour; an interrupted training resumes. Otherwise nothing is trained, and `force` and `steps` change nothing.

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
from IPython.display import Image, Markdown, display

from pivq.config import load_config
from pivq.data import load_dataset
from pivq.figures.artefacts import save_figure, save_json, save_table
from pivq.figures.pictures import plot_images
from pivq.figures.rival_charts import plot_rivals
from pivq.figures.style import use_style
from pivq.figures.tables import facts_table, styled
from pivq.runs.beyond.comparison import means
from pivq.runs.beyond.other_data import (
    MINUTES_PER_SET,
    TITLES,
    finished_runs,
    image_sets,
    other_data_facts,
    run_set,
    settings_table,
    stored_other_data,
    trained_as,
)
from pivq.runs.beyond.other_measures import SHOWN, keep_pictures, kept_pictures
from pivq.runs.beyond.other_sets import MAKERS, SIZE, made_set
from pivq.runs.beyond.transfer import (
    FACES,
    HEADLINES,
    MEASURES,
    SHARES,
    headline_frame,
    in_percent,
    in_words,
    measures_frame,
    stored_faces,
    transfer_table,
)
from pivq.runs.provenance import seed_everything, stamp
from pivq.storage.paths import figures_dir, stored_file

config = load_config(profile, seed, data, layout=layout, on_error=on_error, steps=steps)
seed_everything(seed)
use_style()

# %% [markdown]
# ## The sets
#
# *Aligned* means that the same part stands in the same place. A set is more or less so:
#
# | set | what is aligned | what varies | labels | held out |
# |---|---|---|---|---|
# | digits | scanned digits of 8 × 8 pixels, centred; of scikit-learn | ten shapes, and the hand | which digit, whether it is even | one in four, by a hash; a writer can be in both splits |
# | glyphs | letters of the DejaVu fonts of matplotlib, on one baseline, centred | some 1,200 shapes, in twelve fonts | bold, slanted, serif, fixed width, upper case, accented, script | one letter in five, in all fonts: its shape was never seen |
# | a folder of pictures | what the reader's pictures have in common | anything | those in lists next to the pictures, else properties of pixels | as [docs/datasets.md](https://github.com/REPOSITORY/blob/main/docs/datasets.md) says |
#
# Digits and glyphs are made from installed packages, without a download and without chance. Each becomes a folder of PNGs in `data/`, with CelebA's two lists next to them: that is how a folder of yours can have labels and a split, too. Glyphs that look alike in every pixel, such as the Latin and the Greek A, are kept once.
#
# The next cell makes both folders, which takes seconds the first time, and shows pictures of each.

# %%
shown = {
    name: load_dataset(made_set(name), "heldout", SIZE, limit=24, layout="celeba").images
    for name in MAKERS
}
labels = [name for name in shown for _ in range(2)]
figure = plot_images(torch.cat([*shown.values()]), columns=12, row_labels=labels)

# %% [markdown]
# **What to look at.** A digit is a wide stroke with soft edges, because its 8 × 8 pixels are enlarged. A glyph is one shape with a style: bold or slanted is a property of the whole picture, as hair colour is of a face, and the shape is another for each letter.

# %% [markdown]
# ## How they are trained
#
# They are trained with the profile `folder`, as `./run_all.sh --profile folder --data DIR` does. The next table lists the exceptions. Learned tokens are those of the paper; drawn tokens, our variant, have $L = 64$ and no discriminator ([notebook 09](09_when_codes_compete.ipynb)). Both quantizers are one training for as long as they choose the same codes.

# %%
display(styled(settings_table()))

# %% [markdown]
# The next cell reads the stored rows, one for each set, kind of tokens, quantizer and seed. If there are none yet, it says how they are made. The drawn faces come from the files of the notebooks before ([03](03_train.ipynb) to [11](11_better_samples.ipynb)), so they have gaps, and were trained for more steps.

# %%
if retrain:
    trained, rows = trained_as(profile), []
    for one in image_sets():
        rows += run_set(one, seed, *trained, device, anew=True)
        keep_pictures(one.name, finished_runs(one, seed, *trained), seed, device)
    save_json({"rows": rows} | other_data_facts(rows, config), "other_data", config)
else:
    rows = stored_other_data(profile)
own = bool(rows) and stored_file("other_data", profile).parent == figures_dir(profile, seed)
everything = [*stored_faces(), *rows]
if rows:
    sizes = [
        {"set": row["title"], "pixels": row["size"], "training images": row["images"]["train"]}
        | {"held-out images": row["images"]["heldout"], "steps": row["steps"]}
        | {"profile": row["profile"], "probed": row["probing"]["of"], "device": row["device"]}
        for row in rows
    ]
    display(styled(pd.DataFrame(sizes).drop_duplicates(), thousands=","))
else:
    display(
        Markdown(
            "**There are no rows yet.** `python benchmarks/complete_other_data.py --folder DIR` "
            "trains and measures all sets, the pictures in DIR among them: about "
            f"{MINUTES_PER_SET} minutes of one CPU core for each set. It resumes when it is "
            "interrupted; `--only digits` makes the rows of one set. Until then only the drawn "
            "faces are shown."
        )
    )
seeds = ", ".join(sorted({str(row["seed"]) for row in rows}))
trained = ", ".join(sorted({f"{row['profile']}, {row['steps']:,} steps" for row in rows}))
line = f"{FACES}: profile quick, seed 0 · other sets: profile {trained}, seed {seeds} · k = 3"

# %% [markdown]
# ## What transfers
#
# Each line is a finding on the drawn faces. The rule says when it holds, and a cell has the judgement with the numbers that it rests on; numbers after a semicolon are the controls. Some words of the rules:
#
# - *Own token*: of the $n_{lk}$ uses of code $k$ by token $l$, the share $\sum_k \max_l n_{lk} / \sum_{lk} n_{lk}$ comes from each code's main token. It is 100% if tokens have divided the codebook, and then an image cannot repeat a code.
# - *FD to own reconstructions*: the Fréchet distance, in EfficientNet features, between samples and the model's reconstructions of training images. The control is that of reconstructions of held-out images, as many: a sample can hardly be nearer ([notebook 06](06_sample_quality.ipynb)).
# - *Near parents*: 20 images with most codes in common, exchanged group by group ([notebook 11](11_better_samples.ipynb)).
# - *Largest step* of a path: of the drawn faces, the steps are the exchanges of a code ([notebook 05](05_interpolation.ipynb)); of the other sets, they lie between 17 stops of the path ([notebook 13](13_rivals.ipynb)), and are longer. Compare each with its own untrained model.
# - *Untrained*: the same network with its first weights and a fitted codebook. What it has, training did not make.

# %%
table = transfer_table(everything)
if own:
    save_table(table, "other_data_transfer", config, line)
display(styled(table))

# %% [markdown]
# **What to look at.** A line that holds in every column is about the method at this size. Where the untrained model meets the rule, too, the architecture does it. First check the PSNR of *Drawn tokens with matching cost detail*: where it is not above that of the mean image in the first line, the training has failed, and what other lines say about drawn tokens is of a failed model, even if a rule is met. Compare numbers within a column, not between columns: the Fréchet distance is larger with fewer images, and the digits have fewer held out than the features have numbers.
#
# The sentences are computed from the table.

# %%
display(Markdown("\n".join(f"- {sentence}" for sentence in in_words(everything))))

# %% [markdown]
# ## Four numbers of each set
#
# The first two panels are about the codes: how many of an image's codes differ with nearest quantization, where 1 is no repetition. The other two are about samples, as multiples of the control, where 1 is as near as held-out pictures are; where they span more than a decade, their axis is logarithmic.

# %%
panels = {name: title for name, (title, *_) in HEADLINES.items()}
figure = plot_rivals(headline_frame(everything), panels, FACES)
for axes in figure.axes[:2]:
    axes.set_xlim(0, 1.05)
if own:
    save_figure(figure, "other_data_compared", config, line)

# %% [markdown]
# ## Pictures
#
# For each set whose pictures were kept: held-out pictures, what learned and drawn tokens make of them, samples of Algorithm 1, and samples from near parents. All are of models that quantize by matching. They need the trained models, so they are drawn where the rows were made; elsewhere the stored figure is shown, of digits and glyphs.

# %%
pictures = stored_file("other_data", profile).parent / "other_data_pictures.png"
kept = kept_pictures([*TITLES], "smoke" if profile == "smoke" else "folder")
if kept and own:
    figure = plot_images(torch.cat([*kept.values()]), SHOWN, row_labels=[*kept])
    save_figure(figure, "other_data_pictures", config, line)
elif pictures.exists():
    display(Image(filename=str(pictures), alt=f"Pictures of {', '.join(TITLES)}"))
else:
    display(Markdown("There are no pictures yet."))

# %% [markdown]
# **What to look at.** Is a sample of Algorithm 1 a letter that could exist, or two letters on top of each other? Codes are global, so half of one shape cannot stand next to half of another: a mixture is a compromise in every pixel.

# %% [markdown]
# ## All measures
#
# Means over the seeds of the training. *Real* compares with training pictures, *own* with the model's reconstructions of them, always equally many.

# %%
frame = measures_frame(everything)
words = {name: text for name, (_, text) in MEASURES.items()}
table = means(frame, [*MEASURES]).rename(columns=words)
if own:
    save_table(table, "other_data", config, line)
table = means(in_percent(frame), [*MEASURES])
table = table.rename(columns=words | {name: f"{words[name]} (%)" for name in SHARES})
display(styled(table.set_index("name").T.reset_index(names="measure")))

# %% [markdown]
# ## What this does not say
#
# The sets are small and the models are trained for minutes. Digits of 8 × 8 pixels cannot show detail. A rule has a threshold, and another threshold can change the judgement of a cell that is near it. For that reason each judgement has its numbers. One seed says nothing about small differences.
#
# **Try it.** `python benchmarks/complete_other_data.py --folder DIR --title "my pictures"` adds a column for pictures of yours.

# %% [markdown]
# ## Summary
#
# - A finding transfers if its rule, which was fixed before, is met by other pictures, too.
# - Where the untrained model meets the rule as well, the architecture does it, and not the training.
# - Which findings hold on which set, the sentences of *What transfers* count. A set that is aligned in another way, or larger, can change that.
#
# Next: [notebook 16](16_better_recipe.ipynb) changes how the model is trained.

# %% [markdown]
# ## References
#
# - **The paper.** J. Stirling, N. Al-Moubayed, H. P. H. Shum: Investigating Permutation-Invariant Discrete Representation Learning for Spatially Aligned Images. [arXiv:2604.01843](https://arxiv.org/abs/2604.01843), 2026.
# - **Digits.** E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998; the part that ships with scikit-learn (F. Pedregosa et al.: Scikit-learn: Machine Learning in Python. JMLR 12, 2011).
# - **Glyphs.** The DejaVu fonts, [dejavu-fonts.github.io](https://dejavu-fonts.github.io), as they ship with matplotlib (J. D. Hunter: Matplotlib: A 2D Graphics Environment. Computing in Science & Engineering 9, 2007).
# - **Precision, recall, density, coverage.** M. F. Naeem et al.: Reliable Fidelity and Diversity Metrics for Generative Models. ICML 2020. [arXiv:2002.09797](https://arxiv.org/abs/2002.09797).

# %% [markdown]
# ## Provenance
#
# The stamp says what made this notebook's figures.

# %%
display(facts_table(stamp(config, rows=len(rows))))
