//! What changes from photo to photo: the pose of a toy and the light of a scene.

use rand::Rng;
use serde::{Deserialize, Serialize};

/// Where a toy stands and how it holds itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// Middle of the feet, in shares of the picture's height from the left.
    pub x: f32,
    /// The ground under the feet, in shares of the picture's height from the top.
    pub y: f32,
    /// Height from feet to crown, in shares of the picture's; ears and hats reach higher.
    pub height: f32,
    /// Tilt of the whole toy in radians, clockwise: -0.12..0.12.
    pub lean: f32,
    /// Tilt of the head on the body in radians, clockwise: -0.2..0.2.
    pub head_tilt: f32,
    /// Where it looks: -1 (the picture's left) to 1 (right).
    pub turn: f32,
    /// Angle of the left and right arm from hanging down, in radians outwards: 0.2..2.5.
    pub arms: [f32; 2],
}

impl Pose {
    /// A pose at a given place: `x`, `y` and `height` as the fields say.
    #[must_use]
    pub fn random_at(rng: &mut impl Rng, x: f32, y: f32, height: f32) -> Self {
        let side = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        Self {
            x,
            y,
            height,
            lean: rng.random_range(-0.12..0.12),
            head_tilt: rng.random_range(-0.2..0.2),
            turn: side * rng.random_range(0.15..1.0),
            arms: [rng.random_range(0.2..2.5), rng.random_range(0.2..2.5)],
        }
    }
}

/// The light of a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Light {
    /// Where it comes from: -1 (left) to 1 (right); always somewhat from above.
    pub from: f32,
    /// Colour temperature: -1 (cool) to 1 (warm); the whole range is 6 % of a channel.
    pub warmth: f32,
    /// Factor on every channel: 0.92..1.06.
    pub brightness: f32,
}

impl Light {
    /// Any light.
    #[must_use]
    pub fn random(rng: &mut impl Rng) -> Self {
        Self {
            from: rng.random_range(-1.0..1.0),
            warmth: rng.random_range(-1.0..1.0),
            brightness: rng.random_range(0.92..1.06),
        }
    }

    /// The even light of a simple background, which stays near white.
    #[must_use]
    pub fn random_even(rng: &mut impl Rng) -> Self {
        let light = Self::random(rng);
        Self { warmth: 0.4 * light.warmth, brightness: light.brightness.max(0.98), ..light }
    }

    /// Factors on red, green and blue.
    pub(crate) fn gains(&self) -> [f32; 3] {
        let tint = 0.03 * self.warmth;
        [self.brightness * (1.0 + tint), self.brightness, self.brightness * (1.0 - tint)]
    }
}
