//! Colours: the ten that captions name, and plain RGB values to draw with.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::named::named_enum;

/// An opaque sRGB colour, 8 bits a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rgb(pub [u8; 3]);

impl Rgb {
    pub(crate) const WHITE: Self = Self([255, 255, 255]);
    pub(crate) const CREAM: Self = Self([255, 242, 214]);
    pub(crate) const INK: Self = Self([38, 30, 40]);
    pub(crate) const BLUSH: Self = Self([255, 138, 150]);
    pub(crate) const BEAK: Self = Self([255, 160, 40]);

    /// This colour moved towards `other` by `share` in 0..=1.
    #[must_use]
    pub fn mix(self, other: Self, share: f32) -> Self {
        Self(std::array::from_fn(|i| {
            let (a, b) = (f32::from(self.0[i]), f32::from(other.0[i]));
            (a + (b - a) * share).round() as u8
        }))
    }

    pub(crate) fn lighter(self, share: f32) -> Self {
        self.mix(Self::WHITE, share)
    }

    /// Towards a dark violet rather than black: shadows stay colourful.
    pub(crate) fn darker(self, share: f32) -> Self {
        self.mix(Self([30, 12, 50]), share)
    }

    /// Distance in 0..=1, channels weighted roughly as the eye does.
    pub(crate) fn distance(self, other: Self) -> f32 {
        let weights = [0.3_f32, 0.5, 0.2];
        let sum: f32 = (0..3)
            .map(|i| weights[i] * ((f32::from(self.0[i]) - f32::from(other.0[i])) / 255.0).powi(2))
            .sum();
        sum.sqrt()
    }

    /// A neighbour of this colour: brightness within 7 % and each channel within 9 steps.
    fn jittered(self, rng: &mut impl Rng) -> Self {
        let gain = rng.random_range(0.93..1.07_f32);
        Self(self.0.map(|v| {
            let shift = rng.random_range(-9.0..9.0_f32);
            (f32::from(v) * gain + shift).clamp(0.0, 255.0).round() as u8
        }))
    }
}

named_enum! {
    /// A colour that captions name.
    Color {
        /// Strawberry red.
        Red => "red",
        /// Tangerine.
        Orange => "orange",
        /// Sunflower.
        Yellow => "yellow",
        /// Leaf green.
        Green => "green",
        /// Blue-green.
        Teal => "teal",
        /// Royal blue.
        Blue => "blue",
        /// Violet.
        Purple => "purple",
        /// Candy pink.
        Pink => "pink",
        /// Chocolate.
        Brown => "brown",
        /// Mouse grey.
        Grey => "grey",
    }
}

impl Color {
    /// The centre of the colour.
    #[must_use]
    pub fn rgb(self) -> Rgb {
        Rgb(match self {
            Self::Red => [224, 44, 46],
            Self::Orange => [255, 132, 24],
            Self::Yellow => [255, 214, 40],
            Self::Green => [76, 178, 60],
            Self::Teal => [22, 178, 172],
            Self::Blue => [48, 96, 226],
            Self::Purple => [138, 66, 200],
            Self::Pink => [255, 132, 186],
            Self::Brown => [142, 86, 46],
            Self::Grey => [150, 154, 166],
        })
    }

    /// One toy's own shade of the colour.
    #[must_use]
    pub fn shade(self, rng: &mut impl Rng) -> Rgb {
        self.rgb().jittered(rng)
    }
}
