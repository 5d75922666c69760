"""What the paper reports: its tables as literals, and the claims that can be checked, each with its place.

arXiv:2604.01843v1. Standard library only. Numbers are quoted as printed; `None` stands for what the paper leaves out.
"""

from typing import NamedTuple

SOURCE = "arXiv:2604.01843v1"


class Capability(NamedTuple):
    """A row of Table 1: whether a method is discrete, samples in one forward pass, and interpolates."""

    method: str
    discrete: bool
    one_pass_sampling: bool
    interpolation: bool


class Scores(NamedTuple):
    """A row of Table 3. Lower `fid` (in Inception features) is better; for the other scores higher is better."""

    data: str
    method: str
    fid: float
    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None


class Bottleneck(NamedTuple):
    """A row of Table 2 (CelebA-HQ, K = 4096, L = 512): K_img, the most distinct codes of any image, and capacity."""

    quantizer: str
    codes_per_image: int
    bits: int


class Claim(NamedTuple):
    """A number or statement of the paper that can be checked.

    Attributes:
        id: short name.
        where: section, table or figure.
        text: the claim in our words.
        value: its number as printed, or None where the claim is in words.
        unit: of `value`, one of `DECIMALS`.
        short: the claim in a few words, for summaries.
    """

    id: str
    where: str
    text: str
    value: float | None = None
    unit: str = ""
    short: str = ""

    @property
    def decimals(self) -> int:
        """How many decimals the paper prints."""
        return DECIMALS[self.unit]

    @property
    def printed(self) -> str:
        """The number as the paper prints it, with its unit; "–" for a claim in words."""
        return "–" if self.value is None else f"{self.value:.{self.decimals}f} {self.unit}".replace(" ×", "×")


DECIMALS = {"bits": 0, "codes": 0, "×": 1, "FID": 1, "share": 2, "ratio": 2}  # that the paper prints, by unit


# Sizes of the paper's models (Section 4.1): codebook_size (K) and num_codes (L).
CODEBOOK_SIZE, NUM_CODES = 4096, 512  # CelebA-HQ and FFHQ, 256×256
VQGAN_CODEBOOK_SIZE, VQGAN_NUM_CODES = 1024, 256

TABLE1 = [
    Capability("BigGAN", False, True, False),
    Capability("VDVAE", False, False, False),
    Capability("DDGAN", False, True, False),
    Capability("StyleGAN-XL", False, True, True),
    Capability("LDM-4", False, False, False),
    Capability("ADM-IP", False, False, False),
    Capability("RDM", False, False, False),
    Capability("WaveDiff", False, False, False),
    Capability("VAE", False, True, True),
    Capability("β-VAE", False, True, True),
    Capability("VQ-VAE", True, False, False),
    Capability("VQ-GAN (TT)", True, False, False),
    Capability("VQ-GAN (UT)", True, False, False),
    Capability("PI-VQ", True, True, True),
]

TABLE2 = [Bottleneck("nearest", 49, 614), Bottleneck("matching", 512, 2221)]

# The data sets of Table 3, by their name in `Config.dataset`.
DATA = {"ffhq": "FFHQ 256×256", "celeba": "CelebA 64×64", "celebahq": "CelebA-HQ 256×256"}

# Samples behind the paper's own scores (Section 4.3); Table 3 does not say how many are behind the others.
SAMPLES = {"FFHQ 256×256": "50,000", "CelebA 64×64": "50,000", "CelebA-HQ 256×256": "30,000"}

TABLE3 = [
    Scores("FFHQ 256×256", "StyleGAN-XL", 2.2, 0.80, 0.39, 0.86, 0.73),
    Scores("FFHQ 256×256", "StyleGAN2", 3.8, 0.69, 0.40, 1.12, 0.80),
    Scores("FFHQ 256×256", "VQ-GAN (UT)", 7.1, 0.69, 0.48, 1.06, 0.77),
    Scores("FFHQ 256×256", "VQ-GAN (TT)", 9.6, 0.64, 0.29, 0.89, 0.59),
    Scores("FFHQ 256×256", "VDVAE", 28.5, 0.59, 0.20, 0.80, 0.50),
    Scores("FFHQ 256×256", "PR-BigGAN (R)", 35.2, 0.78, 0.10, 0.89, 0.60),
    Scores("FFHQ 256×256", "PR-BigGAN (P)", 38.2, 0.84, 0.08, 1.15, 0.63),
    Scores("FFHQ 256×256", "BigGAN", 41.4, 0.66, 0.10, 0.52, 0.47),
    Scores("FFHQ 256×256", "PI-VQ", 23.4, 0.69, 0.19, 1.02, 0.55),
    Scores("CelebA 64×64", "ADM-IP", 1.5, 0.23, 0.65, 0.88, 0.24),
    Scores("CelebA 64×64", "PR-BigGAN (R)", 6.0, 0.78, 0.56, 0.88, 0.50),
    Scores("CelebA 64×64", "BigGAN", 9.2, 0.78, 0.51, 0.89, 0.48),
    Scores("CelebA 64×64", "PR-BigGAN (P)", 22.5, 0.84, 0.26, 1.21, 0.43),
    Scores("CelebA 64×64", "PI-VQ", 73.2, 0.58, 0.23, 0.60, 0.44),
    Scores("CelebA-HQ 256×256", "RDM", 3.2, 0.77, 0.55, None, None),
    Scores("CelebA-HQ 256×256", "LDM-4", 5.1, 0.72, 0.49, None, None),
    Scores("CelebA-HQ 256×256", "WaveDiff", 5.9, None, 0.37, None, None),
    Scores("CelebA-HQ 256×256", "DDGAN", 7.6, None, 0.36, None, None),
    Scores("CelebA-HQ 256×256", "PI-VQ", 22.8, 0.85, 0.10, 1.88, 0.69),
]
# As printed under Table 3. Density and coverage are averaged over FFHQ and CelebA alone, where both sides have them.
TABLE3_AVERAGES = [
    Scores("average", "best of each data set", 2.3, 0.82, 0.56, 1.18, 0.65),
    Scores("average", "PI-VQ", 39.8, 0.71, 0.17, 0.81, 0.50),
]


# One claim for each of the paper's own scores in Table 3: "celeba_fid", "celeba_precision", …
_NAMES = {data: name for name, data in DATA.items()}
_UNITS = {"fid": "FID", "precision": "share", "recall": "share", "density": "ratio", "coverage": "share"}
TABLE3_CLAIMS = [
    Claim(
        f"{_NAMES[row.data]}_{metric}",
        "Table 3",
        f"{'FID' if metric == 'fid' else metric} of samples on {row.data}",
        getattr(row, metric),
        unit,
    )
    for row in TABLE3
    if row.method == "PI-VQ"
    for metric, unit in _UNITS.items()
]
CLAIMS = [
    # Section 3.2
    Claim("decoder_invariance", "Section 3.2, Fig. 2", "The decoded image does not depend on the order of the codes."),
    Claim("global_codes", "Abstract, Sections 3.2, 5", "Codes are global: one changes much of the image, no patch.",
          short="codes are global"),
    # Sections 3.4, 4.1 and 4.2: capacity
    Claim("matching_bits", "Table 2, Eq. (4)", "Capacity with matching quantization, K = 4096, L = 512", 2221, "bits"),
    Claim("nearest_bits", "Table 2, Eq. (2)", "Capacity with nearest quantization, K_img = 49, L = 512", 614, "bits"),
    Claim("capacity_ratio", "Section 4.2", "Matching multiplies the capacity of nearest by over 3.5", 3.5, "×"),
    Claim("maximum_bits", "Section 3.4", "Greatest capacity with repeats allowed, K = 4096, L = 512", 2313, "bits"),
    Claim("vqgan_bits", "Section 4.1", "Capacity of a VQ-GAN with positions, K = 1024, L = 256", 2560, "bits"),
    Claim("similar_capacity", "Sections 3.4, 4.1", "With larger L and K a set holds about as much as a VQ-GAN."),
    Claim("positional_above", "Section 3.4, Fig. 4", "A set of codes holds less than as many codes with positions."),
    Claim("matching_above", "Fig. 4", "Matching holds more bits than nearest (K_img = 49, K = 4096) at the paper's L."),
    Claim("nearest_codes_per_image", "Table 2", "Most different codes in an image, nearest, L = 512", 49, "codes",
          short="nearest's images have few codes (49 of 512)"),
    Claim("matching_codes_per_image", "Table 2", "Different codes of an image with matching: always L", 512, "codes"),
    Claim("nearest_repeats", "Sections 3.4, 4.2", "With nearest, K_img ends much smaller than L: codes repeat a lot.",
          short="nearest repeats codes within an image"),
    Claim("matching_raises_capacity", "Sections 3.4, 4.2", "Only the quantizer differs: matching holds more bits.",
          short="matching holds more bits than nearest"),
    Claim("collapse_remains", "Section 5", "Matching does not entirely prevent codebook collapse.",
          short="some codes fall out of use even with matching"),
    Claim("matching_cost", "Section 3.4", "Matching costs O(n³), nearest O(n²): a necessary trade-off.",
          short="the time of matching grows by a higher power than nearest's, n³ against n²"),
    # Sections 3.5 and 4.4: interpolation
    Claim("one_pass_sampling", "Table 1, Section 3.5", "A sample takes one forward pass and no learned prior."),
    Claim("discrete", "Table 1", "An image is represented by L whole numbers."),
    Claim("shared_traits", "Section 3.5", "A sample has all traits that both parents have, and otherwise theirs mixed.",
          short="samples have their parents' traits and no others"),
    Claim("novel_images", "Abstract, Section 1", "Recombined codes give novel images.", short="samples are novel"),
    Claim("interpolation", "Table 1, Fig. 1", "Exchanging codes one by one leads from image to image about smoothly.",
          short="paths are about smooth"),
    Claim("multiple_paths", "Fig. 1, Section 4.4", "There are several different paths between two images.",
          short="two images have several paths"),
    Claim("plausible_paths", "Fig. 1", "The paths between two images are equally plausible.",
          short="images on a path are plausible faces"),
    Claim("path_count", "Section 4.4", "A pair of images has (|R|!)² paths."),
    # Section 3.7
    Claim("quantized_from_start", "Section 3.7", "Quantizing from the first step fails: images stay unrecognisable.",
          short="quantizing from the start fails"),
    Claim("repeated_initialisation", "Section 3.7", "Initialising the codebook more than once improves its use.",
          short="repeated initialisation helps"),
    # Section 4.3
    Claim("competitive", "Abstract, Section 4.3", "Precision, density and coverage are competitive."),
    *TABLE3_CLAIMS,
    Claim("neither_best_nor_worst", "Section 4.3",
          "For each data set neither the best nor the worst result in the majority of metrics."),
    Claim("average_fid", "Table 3", "FID of PI-VQ averaged over the three data sets", 39.8, "FID"),
    Claim("average_precision", "Table 3", "Precision of PI-VQ averaged over the three data sets", 0.71, "share"),
    Claim("average_recall", "Table 3", "Recall of PI-VQ averaged over the three data sets", 0.17, "share"),
    Claim("average_density", "Table 3", "Density of PI-VQ averaged over FFHQ and CelebA", 0.81, "ratio"),
    Claim("average_coverage", "Table 3", "Coverage of PI-VQ averaged over FFHQ and CelebA", 0.50, "share"),
    Claim("best_averages", "Table 3", "The best of each data set average to FID 2.3, precision 0.82, recall 0.56, "
          "density 1.18, coverage 0.65."),
    Claim("density_one", "Section 4.3", "The expected density is 1 if both distributions are equal."),
    Claim("dense_samples", "Section 4.3", "Density above 1 on the two data sets of 256×256 images."),
    Claim("low_recall", "Sections 4.3, 5", "Recall is low beside precision: samples lack diversity.",
          short="recall is below precision"),
    # Section 4.4
    Claim("probing_above", "Fig. 5, Section 4.4", "Some attributes are probed clearly above the majority class.",
          short="codes predict some attributes (beyond an untrained encoder's)"),
    Claim("probing_not_above", "Fig. 5, Section 4.4", "Others are probed little or no better than that.",
          short="other attributes are not to be read from codes"),
    Claim("probing_learned", "Section 1, contributions", "Training makes codes that capture attributes.",
          short="most attributes are predicted because of training"),
]  # fmt: skip
