//! Masks of held-out toys.

use image::GrayImage;

use mudi_domain::mask::Mask;
use mudi_domain::rng;
use mudi_domain::statistics::Estimate;
use mudi_vision::sam::{Point, Prompt};
use rand::Rng;

use super::{Options, ProbeError, Row, picture};
use crate::segment::{Embedded, Segmenter};

/// A pixel of the mask that is as far from its edge as any; `None` of an empty mask.
fn middle(mask: &GrayImage) -> Option<[f32; 2]> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let mut inside: Vec<bool> = mask.iter().map(|&v| v >= 128).collect();
    let mut last = None;
    // What is left after each round of taking the edge away.
    while let Some(at) = inside.iter().position(|inside| *inside) {
        last = Some(at);
        let before = inside.clone();
        for (at, inside) in inside.iter_mut().enumerate() {
            let (x, y) = (at % width, at / width);
            *inside &= x > 0
                && y > 0
                && x + 1 < width
                && y + 1 < height
                && before[at - 1]
                && before[at + 1]
                && before[at - width]
                && before[at + width];
        }
    }
    last.map(|at| [(at % width) as f32 + 0.5, (at / width) as f32 + 0.5])
}

fn best(
    segmenter: &Segmenter,
    photo: &Embedded,
    prompt: &Prompt,
    several: bool,
    truth: &Mask,
) -> Result<f64, ProbeError> {
    let found = segmenter.masks(photo, prompt, several)?.into_iter().next();
    Ok(found.map_or(0.0, |found| found.mask.iou(truth)))
}

pub(super) fn probe(segmenter: &Segmenter, options: &Options) -> Result<Vec<Row>, ProbeError> {
    let (mut boxes, mut middles, mut clicks) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..options.pictures {
        let (_, rendered) = picture(options, index);
        let photo = segmenter.embed(&rendered.image)?;
        let stream = &mut rng::stream(options.seed, "probe click", index);
        for (mask, [x, y, width, height]) in rendered.masks.iter().zip(&rendered.boxes) {
            let Some(place) = middle(mask) else { continue };
            let truth = Mask::from_gray(mask.clone());
            let bounds = [*x, *y, x + width, y + height].map(|v| v as f32);
            let boxed = Prompt { bounds: Some(bounds), ..Prompt::default() };
            boxes.push(best(segmenter, &photo, &boxed, false, &truth)?);
            let click = |[x, y]: [f32; 2]| Prompt {
                points: vec![Point { x, y, on_subject: true }],
                ..Prompt::default()
            };
            middles.push(best(segmenter, &photo, &click(place), true, &truth)?);
            let on: Vec<(u32, u32)> =
                mask.enumerate_pixels().filter(|(_, _, v)| v.0[0] >= 128).map(|(x, y, _)| (x, y)).collect();
            let (x, y) = on[stream.random_range(0..on.len())];
            clicks.push(best(segmenter, &photo, &click([x as f32 + 0.5, y as f32 + 0.5]), true, &truth)?);
        }
    }
    let mean = |overlaps: &[f64]| Estimate::mean(overlaps).map(|mean| mean.within(0.0, 1.0));
    let rows = [
        Row::of("masks from a box, mean IoU", mean(&boxes), Some(0.92)),
        Row::of("masks from a click into the middle, mean IoU", mean(&middles), Some(0.90)),
        Row::of("masks from a click anywhere on the toy, mean IoU", mean(&clicks), None),
    ];
    Ok(rows.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    fn square(from: u32, to: u32) -> GrayImage {
        let inside = |v: u32| (from..to).contains(&v);
        GrayImage::from_fn(9, 9, |x, y| Luma([if inside(x) && inside(y) { 255 } else { 0 }]))
    }

    #[test]
    fn the_middle_is_far_from_the_edge() {
        assert_eq!(middle(&square(2, 7)), Some([4.5, 4.5]));
        assert_eq!(middle(&square(3, 4)), Some([3.5, 3.5]));
        assert_eq!(middle(&square(0, 0)), None);
    }
}
