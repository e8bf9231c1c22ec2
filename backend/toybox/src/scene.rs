//! Scenes: posed toys before a background, and their rendering with exact masks.

use image::{GrayImage, RgbImage};
use mudi_domain::rng::stream;
use rand::Rng;
use serde::{Deserialize, Serialize};
use tiny_skia::{Pixmap, PixmapPaint, Transform};

use crate::background::Background;
use crate::draw;
use crate::layout;
use crate::pose::{Light, Pose};
use crate::toy::Toy;

/// The most toys that a random scene shows.
pub const MAX_TOYS: usize = 5;

/// How many times finer than the picture the drawing is.
const FINENESS: u32 = 2;

/// One to five toys before a background, as one photo shows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Width and height of the picture, in pixels.
    pub size: [u32; 2],
    /// Where it is.
    pub background: Background,
    /// Seed of the background's details: flowers, clouds, tiles.
    pub scenery: u64,
    /// The light.
    pub light: Light,
    /// Whether toys throw a soft shadow on the ground.
    pub shadows: bool,
    /// The toys from left to right. Who stands lower in the picture stands in front.
    pub toys: Vec<(Toy, Pose)>,
}

/// What random scenes may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Width and height of the picture, in pixels.
    pub size: [u32; 2],
    /// `false`: only toys that training may show. `true`: only held-out toys.
    pub held_out: bool,
    /// How likely one, two, ... five toys are, in any unit.
    pub counts: [f32; MAX_TOYS],
    /// How likely the simple background is, in 0..=1; the other places share the rest.
    pub simple: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: [96; 2], held_out: false, counts: [35.0, 35.0, 15.0, 8.0, 7.0], simple: 0.2 }
    }
}

/// A picture and the truth about it. Every image has the scene's size.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The picture.
    pub image: RgbImage,
    /// The visible part of each toy with what it wears, anti-aliased: 255 is wholly the toy. In the scene's order.
    pub masks: Vec<GrayImage>,
    /// x, y, width and height in pixels of what is at least half visible (mask >= 128); zeros if nothing is.
    pub boxes: Vec<[u32; 4]>,
}

impl Scene {
    /// A scene of random toys.
    #[must_use]
    pub fn random(rng: &mut impl Rng, options: &Options) -> Self {
        let count = count(rng, &options.counts);
        let toys: Vec<Toy> = (0..count).map(|_| Toy::random_of_split(rng, options.held_out)).collect();
        let background =
            if rng.random_bool(options.simple) { Background::Simple } else { Background::random_place(rng) };
        Self::compose(rng, options.size, background, toys)
    }

    /// The given toys, from left to right, in random poses before a background. `size` is width and height, in pixels.
    #[must_use]
    pub fn compose(rng: &mut impl Rng, size: [u32; 2], background: Background, toys: Vec<Toy>) -> Self {
        let [width, height] = size.map(|side| side.max(1) as f32);
        let poses = layout::place(rng, background, &toys, width / height);
        let simple = background == Background::Simple;
        Self {
            size,
            background,
            scenery: rng.random(),
            light: if simple { Light::random_even(rng) } else { Light::random(rng) },
            shadows: !simple || rng.random_bool(0.4),
            toys: toys.into_iter().zip(poses).collect(),
        }
    }

    /// Draws the scene. The same scene gives the same bytes each time.
    #[must_use]
    pub fn render(&self) -> Rendered {
        let size = self.size.map(|side| side.max(1) * FINENESS);
        let mut picture = draw::blank(size);
        self.background.paint(&mut picture, &mut stream(self.scenery, "scenery", 0));
        if self.shadows {
            for (_, pose) in &self.toys {
                draw::shadow(&mut picture, pose, &self.light);
            }
        }
        let mut order: Vec<usize> = (0..self.toys.len()).collect();
        order.sort_by(|&a, &b| self.toys[a].1.y.total_cmp(&self.toys[b].1.y));
        let mut visible: Vec<Vec<f32>> = vec![Vec::new(); self.toys.len()];
        for (rank, &index) in order.iter().enumerate() {
            let (toy, pose) = &self.toys[index];
            let mut layer = draw::blank(size);
            draw::toy(&mut layer, toy, pose, &self.light);
            let cover: Vec<f32> = layer.pixels().iter().map(|p| f32::from(p.alpha()) / 255.0).collect();
            for &behind in &order[..rank] {
                for (share, cover) in visible[behind].iter_mut().zip(&cover) {
                    *share *= 1.0 - cover;
                }
            }
            visible[index] = cover;
            let paint = PixmapPaint::default();
            picture.draw_pixmap(0, 0, layer.as_ref(), &paint, Transform::identity(), None);
        }
        let masks: Vec<GrayImage> = visible.iter().map(|share| reduce_mask(share, size)).collect();
        let boxes = masks.iter().map(bounding_box).collect();
        Rendered { image: reduce_picture(&picture, self.light.gains()), masks, boxes }
    }
}

fn count(rng: &mut impl Rng, weights: &[f32; MAX_TOYS]) -> usize {
    let mut at = rng.random::<f32>() * weights.iter().sum::<f32>();
    for (index, weight) in weights.iter().enumerate() {
        if at < *weight {
            return index + 1;
        }
        at -= weight;
    }
    1
}

/// The places in the fine drawing that make up pixel (x, y).
fn block(width: u32, x: u32, y: u32) -> impl Iterator<Item = usize> {
    (0..FINENESS * FINENESS)
        .map(move |i| ((y * FINENESS + i / FINENESS) * width + x * FINENESS + i % FINENESS) as usize)
}

fn reduce_mask(share: &[f32], [width, height]: [u32; 2]) -> GrayImage {
    GrayImage::from_fn(width / FINENESS, height / FINENESS, |x, y| {
        let sum: f32 = block(width, x, y).map(|at| share[at]).sum();
        image::Luma([(255.0 * sum / (FINENESS * FINENESS) as f32).round() as u8])
    })
}

fn reduce_picture(picture: &Pixmap, gains: [f32; 3]) -> RgbImage {
    let width = picture.width();
    let pixels = picture.pixels();
    RgbImage::from_fn(width / FINENESS, picture.height() / FINENESS, |x, y| {
        let mut sums = [0u32; 3];
        for at in block(width, x, y) {
            let pixel = pixels[at];
            for (sum, v) in sums.iter_mut().zip([pixel.red(), pixel.green(), pixel.blue()]) {
                *sum += u32::from(v);
            }
        }
        let mean = |i: usize| gains[i] * sums[i] as f32 / (FINENESS * FINENESS) as f32;
        image::Rgb([mean(0), mean(1), mean(2)].map(|v| v.round().clamp(0.0, 255.0) as u8))
    })
}

fn bounding_box(mask: &GrayImage) -> [u32; 4] {
    let mut bounds: Option<[u32; 4]> = None;
    for (x, y, _) in mask.enumerate_pixels().filter(|(_, _, v)| v.0[0] >= 128) {
        let [x0, y0, x1, y1] = bounds.unwrap_or([x, y, x, y]);
        bounds = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
    }
    bounds.map_or([0; 4], |[x0, y0, x1, y1]| [x0, y0, x1 - x0 + 1, y1 - y0 + 1])
}
