//! A toy: what captions name, and the unnamed traits that make it itself.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::named::named_enum;
use crate::palette::{Color, Rgb};
use crate::split::is_held_out;

named_enum! {
    /// What a toy is.
    Kind {
        /// Round ears, round muzzle.
        Bear => "bear",
        /// Pointed ears, whiskers, a long tail.
        Cat => "cat",
        /// Hanging ears, a long muzzle, the tongue out.
        Dog => "dog",
        /// Tall ears, big feet.
        Rabbit => "rabbit",
        /// Wide ears, a trunk, tusks.
        Elephant => "elephant",
        /// An egg with flippers and a beak.
        Penguin => "penguin",
        /// Spikes, a snout, a thick tail.
        Dinosaur => "dinosaur",
        /// Boxes, lamps and an antenna.
        Robot => "robot",
    }
}

named_enum! {
    /// What covers the coat.
    Pattern {
        /// The coat alone.
        Plain => "plain",
        /// Thick stripes.
        Striped => "striped",
        /// A few large spots.
        Spotted => "spotted",
    }
}

named_enum! {
    /// What a toy wears.
    AccessoryKind {
        /// On the head.
        Hat => "hat",
        /// Round the neck, one end hanging.
        Scarf => "scarf",
        /// Thick round frames.
        Glasses => "glasses",
        /// A bow tie under the chin.
        Bow => "bow",
    }
}

named_enum! {
    /// How a hat is made; captions only say `hat`.
    HatStyle {
        /// A cylinder with a brim.
        Top => "top hat",
        /// A cone with a bobble.
        Party => "party hat",
        /// Knitted, with a turned-up edge.
        Beanie => "beanie",
    }
}

named_enum! {
    /// How eyes are made.
    EyeStyle {
        /// White with an iris.
        Round => "round",
        /// Dark buttons with a glint.
        Button => "button",
        /// White with a heavy lid.
        Sleepy => "sleepy",
    }
}

named_enum! {
    /// A side of the toy, as the picture shows it.
    Side {
        /// The picture's left.
        Left => "left",
        /// The picture's right.
        Right => "right",
    }
}

impl Side {
    /// -1 for left, 1 for right.
    pub(crate) fn sign(self) -> f32 {
        match self {
            Self::Left => -1.0,
            Self::Right => 1.0,
        }
    }
}

/// Something that a toy wears, with its named colour and its own shade of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accessory {
    /// What it is.
    pub kind: AccessoryKind,
    /// The colour as captions name it.
    pub color: Color,
    /// The exact colour.
    pub shade: Rgb,
}

impl Accessory {
    /// `yellow hat`.
    #[must_use]
    pub fn phrase(&self) -> String {
        format!("{} {}", self.color.name(), self.kind.name())
    }
}

/// What no caption names and yet makes a toy itself. Sizes are factors on the kind's usual size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traits {
    /// Muzzle, belly and the inside of the ears.
    pub accent: Rgb,
    /// Spikes, antenna, foot pads.
    pub trim: Rgb,
    /// Colour of the stripes or spots.
    pub pattern_shade: Rgb,
    /// Where the stripes or spots begin, in 0..1 of a period.
    pub pattern_phase: f32,
    /// Tilt of the stripes in radians.
    pub pattern_tilt: f32,
    /// Ears, trunk, spikes or antenna: 0.85..1.2.
    pub ear_size: f32,
    /// Head: 0.93..1.1.
    pub head_size: f32,
    /// Body width: 0.9..1.15.
    pub body_width: f32,
    /// How the eyes are made.
    pub eyes: EyeStyle,
    /// Iris.
    pub iris: Rgb,
    /// Rosy cheeks.
    pub cheeks: bool,
    /// A patch of `accent` around one eye.
    pub eye_patch: Option<Side>,
    /// Feet in `accent` instead of the coat's colour.
    pub socks: bool,
    /// How its hat is made, if it wears one.
    pub hat: HatStyle,
}

/// An identity. Two toys that are equal look the same in the same pose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Toy {
    /// What it is.
    pub kind: Kind,
    /// The coat's colour as captions name it.
    pub color: Color,
    /// The coat's exact colour.
    pub coat: Rgb,
    /// What covers the coat.
    pub pattern: Pattern,
    /// What it wears.
    pub accessory: Option<Accessory>,
    /// What captions do not name.
    pub traits: Traits,
}

impl Toy {
    /// Any toy, held out or not.
    #[must_use]
    pub fn random(rng: &mut impl Rng) -> Self {
        let kind = Kind::random(rng);
        let color = Color::random(rng);
        let pattern = if rng.random_bool(0.4) {
            Pattern::Plain
        } else if rng.random_bool(0.5) {
            Pattern::Striped
        } else {
            Pattern::Spotted
        };
        let accessory = rng.random_bool(0.6).then(|| {
            let worn = AccessoryKind::random(rng);
            let color = other_color(rng, color);
            Accessory { kind: worn, color, shade: color.shade(rng) }
        });
        let coat = color.shade(rng);
        Self { kind, color, coat, pattern, accessory, traits: Traits::random(rng, coat) }
    }

    /// A toy of a held-out combination, which training scenes never show.
    #[must_use]
    pub fn random_held_out(rng: &mut impl Rng) -> Self {
        Self::random_of_split(rng, true)
    }

    pub(crate) fn random_of_split(rng: &mut impl Rng, held_out: bool) -> Self {
        loop {
            let toy = Self::random(rng);
            if is_held_out(&toy) == held_out {
                return toy;
            }
        }
    }

    /// The descriptive class: `red bear`.
    #[must_use]
    pub fn class(&self) -> String {
        format!("{} {}", self.color.name(), self.kind.name())
    }

    /// The whole phrase, without an article: `red striped bear with yellow hat`.
    #[must_use]
    pub fn phrase(&self) -> String {
        self.phrase_with(true, true)
    }

    /// The phrase with pattern and accessory named or left out.
    #[must_use]
    pub fn phrase_with(&self, pattern: bool, accessory: bool) -> String {
        let mut words = String::from(self.color.name());
        if pattern && self.pattern != Pattern::Plain {
            words = format!("{words} {}", self.pattern.name());
        }
        words = format!("{words} {}", self.kind.name());
        match &self.accessory {
            Some(worn) if accessory => format!("{words} with {}", worn.phrase()),
            _ => words,
        }
    }
}

impl Traits {
    fn random(rng: &mut impl Rng, coat: Rgb) -> Self {
        let accents = [Rgb::CREAM, Rgb::WHITE, Rgb([255, 214, 190]), coat.lighter(0.6)];
        let irises = [[92, 58, 30], [40, 110, 200], [50, 140, 70], [120, 70, 170]].map(Rgb);
        Self {
            accent: pick(rng, &accents),
            trim: contrasting(rng, coat, 0.22),
            pattern_shade: if rng.random_bool(0.35) { Rgb::CREAM } else { contrasting(rng, coat, 0.3) },
            pattern_phase: rng.random(),
            pattern_tilt: if rng.random_bool(0.6) { 0.0 } else { rng.random_range(-0.6..0.6) },
            ear_size: rng.random_range(0.85..1.2),
            head_size: rng.random_range(0.93..1.1),
            body_width: rng.random_range(0.9..1.15),
            eyes: EyeStyle::random(rng),
            iris: pick(rng, &irises),
            cheeks: rng.random_bool(0.45),
            eye_patch: rng.random_bool(0.25).then(|| Side::random(rng)),
            socks: rng.random_bool(0.35),
            hat: HatStyle::random(rng),
        }
    }
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn other_color(rng: &mut impl Rng, than: Color) -> Color {
    loop {
        let color = Color::random(rng);
        if color != than && color.rgb().distance(than.rgb()) > 0.2 {
            return color;
        }
    }
}

/// A shade of a named colour that is at least `distance` from `coat`.
fn contrasting(rng: &mut impl Rng, coat: Rgb, distance: f32) -> Rgb {
    loop {
        let shade = Color::random(rng).shade(rng);
        if shade.distance(coat) >= distance {
            return shade;
        }
    }
}
