"""The identity of a puppet: proportions, face, hair, clothes and colours, sampled by seed and split.

The wardrobe code of an identity (hair, top and bottom with their colours) is hashed, and the hash alone decides the
split. So no code, and no identity, occurs in two splits.
"""

import zlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Split = Literal["train", "validation", "test"]
Colour = tuple[int, int, int]

# Of ten hash values, one is validation and one is test.
_TRAIN: Split = "train"
_SPLIT_OF_HASH: tuple[Split, ...] = ("validation", "test", *[_TRAIN] * 8)

HAIR_STYLES = (
    "bald",
    "short",
    "short",
    "bob",
    "bob",
    "long",
    "long",
    "afro",
    "bun",
    "pigtails",
    "ponytail",
    "spiky",
    "mohawk",
    "curls",
)
FRINGES = ("straight", "side", "centre", "high", "choppy")
HATS = (*["none"] * 6, "cap", "beanie", "top_hat", "headband", "bow", "crown", "cat_ears")
TOPS = ("tee", "tee", "long_sleeve", "tank", "hoodie", "shirt", "jacket", "dress", "raglan")
PATTERNS = ("plain", "plain", "plain", "stripes", "dots", "band", "emblem", "emblem")
EMBLEMS = ("disc", "star", "heart", "square")
BOTTOMS = ("trousers", "trousers", "shorts", "skirt", "long_skirt", "leggings")
SHOES = ("shoe", "shoe", "boot", "sock")

SKINS: tuple[Colour, ...] = (
    (255, 226, 204),
    (247, 206, 178),
    (236, 188, 150),
    (216, 160, 118),
    (186, 126, 84),
    (148, 94, 62),
    (112, 70, 48),
    (255, 214, 196),
    (198, 146, 112),
    (226, 178, 128),
)
HAIRS: tuple[Colour, ...] = (
    (34, 28, 32),
    (66, 42, 30),
    (110, 70, 40),
    (158, 104, 52),
    (222, 178, 96),
    (246, 224, 160),
    (186, 66, 38),
    (128, 36, 40),
    (200, 200, 208),
    (232, 120, 170),
    (86, 120, 214),
    (74, 160, 130),
    (140, 90, 190),
    (240, 240, 244),
)
IRISES: tuple[Colour, ...] = ((70, 44, 30), (46, 30, 26), (60, 110, 170), (70, 130, 80), (110, 110, 120), (150, 96, 40))


@dataclass(frozen=True)
class Body:
    """Bone lengths and girths. Lengths are in units of the standing height from sole to shoulder line."""

    shoulder_width: float
    hip_width: float
    torso: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    neck: float
    head: float  # chin to crown
    girth: float  # 1 = average thickness of limbs and torso


@dataclass(frozen=True)
class FaceShape:
    """Face geometry in units of the head's height (chin to crown = 1)."""

    half_width: float
    jaw_square: float  # 0 round .. 1 square
    chin_taper: float  # 0 wide .. 1 pointed
    eye_spacing: float  # half the distance of the pupils
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_gap: float
    brow_tilt: float
    brow_weight: float
    nose_length: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip: float


@dataclass(frozen=True)
class Look:
    """Colours and clothes. Colours are RGB 0..255."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    hair_style: str
    fringe: str
    hat: str
    hat_colour: Colour
    glasses: bool
    beard: str
    blush: bool
    top: str
    top_colour: Colour
    pattern: str
    pattern_colour: Colour
    emblem: str
    bottom: str
    bottom_colour: Colour
    shoe: str
    shoe_colour: Colour
    accent: Colour


@dataclass(frozen=True)
class Identity:
    """One puppet. `code` is the wardrobe code whose hash decides the split."""

    body: Body
    face: FaceShape
    look: Look
    code: str

    @property
    def split(self) -> Split:
        """The only split this identity can occur in."""
        return split_of(self.code)


def split_of(code: str) -> Split:
    """The split that owns a code: of ten hash values one is validation, one test, eight train."""
    return _SPLIT_OF_HASH[zlib.crc32(code.encode()) % len(_SPLIT_OF_HASH)]


def seeded(domain: str, split: Split, seed: int) -> np.random.Generator:
    """A random generator for one `domain` of one split; those of different domains or splits are independent."""
    if split not in get_args(Split):
        raise ValueError(f"{split!r} is no split; choose from {get_args(Split)}")
    return np.random.default_rng([zlib.crc32(domain.encode()), zlib.crc32(split.encode()), seed])


def sample_identity(split: Split, seed: int) -> Identity:
    """The puppet number `seed` of a split; the same arguments always give the same puppet."""
    rng = seeded("identity", split, seed)
    while True:
        look = _sample_look(rng)
        code = wardrobe_code(look)
        if split_of(code) == split:
            return Identity(_sample_body(rng), sample_face(rng), look, code)


def wardrobe_code(look: Look) -> str:
    """Hair, top and bottom with their colours (each channel cut to 4 levels): the code that decides the split."""
    parts = [look.hair_style, look.fringe, look.top, look.bottom]
    for colour in (look.hair, look.top_colour, look.bottom_colour):
        parts.append("".join(str(channel // 64) for channel in colour))
    return "/".join(parts)


def sample_face(rng: np.random.Generator) -> FaceShape:
    """Sample face proportions. A driving puppet gets a face of its own by this too."""
    u = rng.uniform
    return FaceShape(
        half_width=u(0.36, 0.47),
        jaw_square=u(0, 1),
        chin_taper=u(0, 1),
        eye_spacing=u(0.145, 0.2),
        eye_y=u(-0.02, 0.07),
        eye_width=u(0.15, 0.22),
        eye_height=u(0.075, 0.145),
        eye_tilt=u(-0.2, 0.2),
        brow_gap=u(0.05, 0.1),
        brow_tilt=u(-0.25, 0.25),
        brow_weight=u(0.02, 0.05),
        nose_length=u(0.09, 0.18),
        nose_width=u(0.06, 0.13),
        mouth_y=u(0.27, 0.34),
        mouth_width=u(0.18, 0.34),
        lip=u(0.018, 0.05),
    )


def _sample_body(rng: np.random.Generator) -> Body:
    """Sample bone lengths. Legs and torso add up to 1, so that only the camera makes puppets differ in height."""
    u = rng.uniform
    torso = u(0.35, 0.42)
    legs = 1.0 - torso - 0.04  # 0.04: ankle to sole
    thigh = legs * u(0.5, 0.54)
    arm = u(0.37, 0.45)
    upper_arm = arm * u(0.51, 0.56)
    return Body(
        shoulder_width=u(0.2, 0.29),
        hip_width=u(0.11, 0.16),
        torso=torso,
        upper_arm=upper_arm,
        forearm=arm - upper_arm,
        hand=u(0.1, 0.125),
        thigh=thigh,
        shin=legs - thigh,
        foot=u(0.11, 0.15),
        neck=u(0.045, 0.075),
        head=u(0.24, 0.34),
        girth=u(0.85, 1.3),
    )


def _pick(rng: np.random.Generator, choices: tuple):
    return choices[int(rng.integers(len(choices)))]


def _vivid(rng: np.random.Generator) -> Colour:
    """A cloth colour: any hue, mostly saturated, one in five near white, grey or black."""
    hue, value = rng.uniform(0, 6), rng.uniform(0.35, 1.0)
    saturation = rng.uniform(0, 0.12) if rng.random() < 0.2 else rng.uniform(0.4, 0.9)
    channels = [value * (1 - saturation * np.clip(abs((hue + k) % 6 - 3) - 1, 0, 1)) for k in (3, 1, 5)]
    red, green, blue = (round(255 * float(c)) for c in channels)
    return red, green, blue


def _distance(a: Colour, b: Colour) -> float:
    return float(np.abs(np.subtract(a, b)).sum())


def _vivid_unlike(rng: np.random.Generator, *others: Colour) -> Colour:
    """A cloth colour that differs clearly from `others`."""
    while True:
        colour = _vivid(rng)
        if all(_distance(colour, other) > 110 for other in others):
            return colour


def _sample_look(rng: np.random.Generator) -> Look:
    skin = _pick(rng, SKINS)
    hair = _pick(rng, tuple(c for c in HAIRS if _distance(c, skin) > 90))
    top = _pick(rng, TOPS)
    top_colour = _vivid_unlike(rng, skin)
    bottom_colour = top_colour if top == "dress" else _vivid_unlike(rng, skin, top_colour)
    bottom = _pick(rng, ("skirt", "skirt", "long_skirt")) if top == "dress" else _pick(rng, BOTTOMS)
    lips = tuple(int(c) for c in np.clip(np.array(skin) * (0.82, 0.52, 0.52) + (20, 0, 10), 0, 255))
    return Look(
        skin=skin,
        hair=hair,
        iris=_pick(rng, IRISES),
        lips=(lips[0], lips[1], lips[2]),
        hair_style=_pick(rng, HAIR_STYLES),
        fringe=_pick(rng, FRINGES),
        hat=_pick(rng, HATS),
        hat_colour=_vivid_unlike(rng, hair, skin),
        glasses=bool(rng.random() < 0.15),
        beard=_pick(rng, ("none",) * 7 + ("moustache", "beard")),
        blush=bool(rng.random() < 0.4),
        top=top,
        top_colour=top_colour,
        pattern=_pick(rng, PATTERNS),
        pattern_colour=_vivid_unlike(rng, top_colour),
        emblem=_pick(rng, EMBLEMS),
        bottom=bottom,
        bottom_colour=bottom_colour,
        shoe=_pick(rng, SHOES),
        shoe_colour=_vivid_unlike(rng, skin, bottom_colour),
        accent=_vivid_unlike(rng, top_colour),
    )
