//! Where a scene is. Units: the picture's height; (0, 0) is its top left corner.

mod home;
mod nature;

use rand::Rng;
use tiny_skia::{Pixmap, Transform};

use crate::draw::{Canvas, Ink};
use crate::named::named_enum;
use crate::palette::Rgb;

named_enum! {
    /// Where a scene is.
    Background {
        /// A plain light ground.
        Simple => "simple background",
        /// A lawn with flowers before a fence.
        Garden => "garden",
        /// Sand, sea and a parasol.
        Beach => "beach",
        /// Snow with firs.
        Snow => "snow",
        /// Moon and stars over a dark hill.
        NightSky => "night sky",
        /// Wallpaper, a bed and a rug.
        Bedroom => "bedroom",
        /// Tiles, cupboards and a chequered floor.
        Kitchen => "kitchen",
        /// Dunes and cactuses.
        Desert => "desert",
        /// Tree trunks in green light.
        Forest => "forest",
        /// Towers and a street.
        City => "city",
    }
}

const fn rgb(r: u8, g: u8, b: u8) -> Rgb {
    Rgb([r, g, b])
}

impl Background {
    /// A place, all equally likely; never [`Background::Simple`].
    #[must_use]
    pub fn random_place(rng: &mut impl Rng) -> Self {
        Self::ALL[rng.random_range(1..Self::ALL.len())]
    }

    /// How captions continue: ` in the garden`, with a leading space or comma.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Simple => ", simple background",
            Self::Garden => " in the garden",
            Self::Beach => " on the beach",
            Self::Snow => " in the snow",
            Self::NightSky => " under the night sky",
            Self::Bedroom => " in the bedroom",
            Self::Kitchen => " in the kitchen",
            Self::Desert => " in the desert",
            Self::Forest => " in the forest",
            Self::City => " in the city",
        }
    }

    /// Where the ground begins, in shares of the height from the top.
    pub(crate) fn horizon(self) -> f32 {
        match self {
            Self::Simple => 0.0,
            Self::Beach => 0.56,
            Self::Kitchen | Self::Bedroom => 0.64,
            Self::City => 0.66,
            _ => 0.6,
        }
    }

    /// Fills the picture. The same stream gives the same picture.
    pub(crate) fn paint(self, picture: &mut Pixmap, rng: &mut (impl Rng + Clone)) {
        let side = picture.height() as f32;
        // What is drawn is a square. In a wider picture others follow it, each the mirror image of the one before, so that nothing breaks off.
        let squares = (picture.width() as f32 / side).ceil() as u32;
        for square in 1..squares {
            let (turn, start) = if square % 2 == 1 { (-1.0, square + 1) } else { (1.0, square) };
            let place = Transform::from_translate(start as f32 * side, 0.0).pre_scale(turn * side, side);
            let mut canvas = Canvas::new(picture, place, 0.0);
            canvas.inside_block([0.5; 4], 0.0, |canvas| self.fill(canvas, &mut rng.clone()));
        }
        let mut canvas = Canvas::new(picture, Transform::from_scale(side, side), 0.0);
        if squares > 1 {
            canvas.inside_block([0.5; 4], 0.0, |canvas| self.fill(canvas, rng));
        } else {
            self.fill(&mut canvas, rng);
        }
    }

    /// Fills the square from (0, 0) to (1, 1).
    fn fill(self, c: &mut Canvas<'_>, rng: &mut impl Rng) {
        // The ground line moves a little from photo to photo.
        let h = self.horizon() + rng.random_range(-0.04..0.04);
        match self {
            Self::Simple => simple(c, rng),
            Self::Garden => nature::garden(c, rng, h),
            Self::Beach => nature::beach(c, rng, h),
            Self::Snow => nature::snow(c, rng, h),
            Self::NightSky => nature::night_sky(c, rng, h),
            Self::Bedroom => home::bedroom(c, rng, h),
            Self::Kitchen => home::kitchen(c, rng, h),
            Self::Desert => nature::desert(c, rng, h),
            Self::Forest => nature::forest(c, rng, h),
            Self::City => home::city(c, rng, h),
        }
    }
}

/// A box from (x0, y0) to (x1, y1).
fn area(c: &mut Canvas<'_>, x0: f32, y0: f32, x1: f32, y1: f32, ink: Ink) {
    c.block([(x0 + x1) / 2.0, (y0 + y1) / 2.0, (x1 - x0) / 2.0, (y1 - y0) / 2.0], 0.0, ink);
}

fn sky(c: &mut Canvas<'_>, h: f32, top: Rgb, bottom: Rgb) {
    area(c, 0.0, 0.0, 1.0, h + 0.05, Ink::Fade(top, bottom));
}

fn ground(c: &mut Canvas<'_>, h: f32, far: Rgb, near: Rgb) {
    area(c, 0.0, h, 1.0, 1.0, Ink::Fade(far, near));
}

fn simple(c: &mut Canvas<'_>, rng: &mut impl Rng) {
    let light = 255 - rng.random_range(0..=8);
    let tint = [0, 0, 0].map(|_: u8| light - rng.random_range(0..=4));
    area(c, 0.0, 0.0, 1.0, 1.0, Ink::Flat(if rng.random_bool(0.5) { Rgb::WHITE } else { Rgb(tint) }));
}
