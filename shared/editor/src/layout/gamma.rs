//! What gamma does, as a picture: the noise that sampling starts from, with the canvas in it.

use image::{Rgb, RgbImage};
use mudi_domain::collage::Collage;
use mudi_domain::rng;

/// What the noise of the first step leaves of a picture, in Stable Diffusion 1.5, 2.1 and SDXL: the square root of the last
/// cumulative alpha of their schedules (1000 steps, `scaled_linear` from 0.00085 to 0.012).
pub const SIGNAL: f32 = 0.068_26;

/// Noise whose mean is `gamma` times the canvas, as strong as sampling starts with. Sampling does so with latents, here it is done
/// with pixels, so that it can be seen: black to white are -1 to 1, and noise reaches beyond.
#[must_use]
pub fn noised(canvas: &Collage, gamma: f32, seed: u64) -> RgbImage {
    let (width, height) = canvas.image.dimensions();
    let noise = rng::normal(&mut rng::stream(seed, "gamma", 0), 3 * width as usize * height as usize);
    let mut picture = RgbImage::new(width, height);
    let covered = canvas.union.as_gray().as_raw();
    let pixels = picture.pixels_mut().zip(canvas.image.pixels()).zip(covered);
    for (((pixel, seen), &coverage), noise) in pixels.zip(noise.as_chunks::<3>().0) {
        let mean = |channel: u8| (f32::from(channel) / 127.5 - 1.0) * f32::from(coverage) / 255.0;
        for ((out, channel), noise) in pixel.0.iter_mut().zip(seen.0).zip(noise) {
            let value = gamma * SIGNAL * mean(channel) + noise;
            // A third of the deviation, so that little of the noise is cut off.
            *out = (127.5 + 127.5 * value / 3.0).clamp(0.0, 255.0) as u8;
        }
    }
    picture
}

/// The same in grey, with squares of `side` pixels averaged, and what is left of the noise brought back to its strength: what is
/// too faint to be seen pixel by pixel, but not for a network that looks at all of them.
#[must_use]
pub fn averaged(picture: &RgbImage, side: u32) -> RgbImage {
    let side = side.max(1);
    let mean = |left: u32, top: u32| {
        let (right, bottom) = ((left + side).min(picture.width()), (top + side).min(picture.height()));
        let mut sum = 0.0_f32;
        for y in top..bottom {
            for x in left..right {
                let pixel = picture.get_pixel(x, y).0;
                sum += pixel.iter().map(|&channel| f32::from(channel) - 127.5).sum::<f32>();
            }
        }
        let count = 3 * (right - left) * (bottom - top);
        (127.5 + sum / (count as f32).sqrt()).clamp(0.0, 255.0) as u8
    };
    let mut squares = RgbImage::new(picture.width(), picture.height());
    for top in (0..picture.height()).step_by(side as usize) {
        for left in (0..picture.width()).step_by(side as usize) {
            let grey = mean(left, top);
            for y in top..(top + side).min(picture.height()) {
                for x in left..(left + side).min(picture.width()) {
                    squares.put_pixel(x, y, Rgb([grey; 3]));
                }
            }
        }
    }
    squares
}
