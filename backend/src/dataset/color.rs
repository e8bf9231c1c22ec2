//! What the numbers of a photo mean: its color profile says so (phones' is Display P3), and from here on sRGB does.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};

/// Pixels that are changed at a time.
const AT_ONCE: usize = 4096;
/// Programs write sRGB with other digits: what moves no color further than this, of 255, is sRGB, and such photos stay as they are.
const SAME: u8 = 2;
/// White stays white by every profile of a screen or camera; what makes it darker than this is damaged.
const WHITE: u8 = 240;

/// Makes sRGB of `pixels` (8 bit; red, green, blue, and alpha where `channels` is 4) that mean what the ICC profile `profile` says.
/// A profile that is damaged, of inks, or made of tables of measured colors changes nothing.
pub(super) fn to_srgb(pixels: &mut [u8], channels: usize, profile: &[u8]) {
    if let Some(transform) = transform(profile, channels) {
        // One that fails has changed nothing of its part, and fails at the first.
        let _ = pixels.chunks_mut(AT_ONCE * channels).try_for_each(|part| transform.apply(part));
    }
}

/// How pixels change.
enum Transform {
    /// Each channel by itself, since the photo is gray.
    Gray(Box<[u8; 256]>, usize),
    /// By the library.
    Color(Arc<Transform8BitExecutor>),
}

impl Transform {
    fn apply(&self, part: &mut [u8]) -> Option<()> {
        match self {
            Self::Gray(values, channels) => {
                let colors = part.chunks_mut(*channels).flat_map(|pixel| pixel.iter_mut().take(3));
                colors.for_each(|value| *value = values[usize::from(*value)]);
                Some(())
            }
            Self::Color(transform) => {
                let before = part.to_vec();
                transform.transform(&before, part).ok()
            }
        }
    }
}

/// How pixels of the profile become sRGB; none where they stay as they are.
fn transform(profile: &[u8], channels: usize) -> Option<Transform> {
    let mut source = ColorProfile::new_from_slice(profile).ok()?;
    // What screens and cameras are is a matrix and curves. Tables, which a few profiles have beside it, are for printers' inks.
    source.lut_a_to_b_perceptual = None;
    source.lut_a_to_b_colorimetric = None;
    source.lut_a_to_b_saturation = None;
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    match source.color_space {
        DataColorSpace::Gray if source.gray_trc.is_some() && source.pcs == DataColorSpace::Xyz => {
            let made = source.create_transform_8bit(Layout::Gray, &srgb, Layout::Rgb, options).ok()?;
            let known: Vec<u8> = (0..=255).collect();
            let mut found = [0; 3 * 256];
            made.transform(&known, &mut found).ok()?;
            let values: [u8; 256] = std::array::from_fn(|value| found[3 * value]);
            counts(&known, &values, &values[255..]).then(|| Transform::Gray(Box::new(values), channels))
        }
        DataColorSpace::Rgb if source.is_matrix_shaper() && source.pcs == DataColorSpace::Xyz => {
            let layout = if channels == 4 { Layout::Rgba } else { Layout::Rgb };
            let made = source.create_transform_8bit(layout, &srgb, layout, options).ok()?;
            let known = samples(channels);
            let mut found = vec![0; known.len()];
            made.transform(&known, &mut found).ok()?;
            counts(&known, &found, &found[found.len() - channels..]).then_some(Transform::Color(made))
        }
        _ => None,
    }
}

/// Colors from everywhere between black and white.
fn samples(channels: usize) -> Vec<u8> {
    let steps = || (0..=5).map(|step| step * 51);
    let colors = steps().flat_map(|r| steps().flat_map(move |g| steps().map(move |b| [r, g, b, 255])));
    colors.flat_map(|color| color.into_iter().take(channels)).collect()
}

/// Whether a profile by which `known` becomes `found` is another one than sRGB, and no nonsense: `white` is what becomes of white.
fn counts(known: &[u8], found: &[u8], white: &[u8]) -> bool {
    let same = known.iter().zip(found).all(|(known, found)| known.abs_diff(*found) <= SAME);
    !same && white.iter().all(|&value| value >= WHITE)
}
