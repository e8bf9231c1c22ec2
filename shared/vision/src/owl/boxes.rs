//! From the network's numbers to boxes in the image.

use mudi_diffusion::{Engine, Result};
use mudi_domain::geometry::UnitBox;

use super::OwlOutput;

/// What every patch of one image proposes.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposals {
    /// Logits of each text, patch by patch.
    pub logits: Vec<f32>,
    /// How many texts there are.
    pub queries: usize,
    /// Logits that there is anything, one a patch.
    pub objectness_logits: Vec<f32>,
    /// Centre across, centre down, width and height in shares of the padded square, four a patch.
    pub boxes: Vec<[f32; 4]>,
}

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Where, in shares of the image. It may reach beyond it.
    pub bounds: UnitBox,
    /// Which of the texts names it.
    pub query: usize,
    /// How surely the text names it, 0..=1.
    pub score: f32,
    /// How surely it is anything at all, 0..=1.
    pub objectness: f32,
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Proposals {
    /// Those of each image of a batch.
    ///
    /// # Errors
    /// Engine errors.
    pub fn of<E: Engine>(engine: &E, output: &OwlOutput<E>) -> Result<Vec<Self>> {
        let shape = engine.shape(&output.logits);
        let (patches, queries) = (shape[1], shape[2]);
        let logits = engine.to_vec(&output.logits)?;
        let objectness = engine.to_vec(&output.objectness_logits)?;
        let boxes = engine.to_vec(&output.box_logits)?;
        let boxes: Vec<[f32; 4]> = boxes.as_chunks::<4>().0.iter().map(|b| b.map(sigmoid)).collect();
        Ok(logits
            .chunks(patches * queries)
            .zip(objectness.chunks(patches))
            .zip(boxes.chunks(patches))
            .map(|((logits, objectness), boxes)| Self {
                logits: logits.to_vec(),
                queries,
                objectness_logits: objectness.to_vec(),
                boxes: boxes.to_vec(),
            })
            .collect())
    }

    /// The proposals whose best text has a score above `threshold`, the surest first, in an image of `width` by `height`
    /// pixels, which lay in the upper left of the padded square. MuDI takes 0.2 for photos and 0.4 for generated images.
    #[must_use]
    pub fn above(&self, threshold: f32, width: u32, height: u32) -> Vec<Detection> {
        let side = f64::from(width.max(height));
        let (across, down) = (side / f64::from(width.max(1)), side / f64::from(height.max(1)));
        let mut found: Vec<Detection> = self
            .logits
            .chunks(self.queries.max(1))
            .zip(&self.objectness_logits)
            .zip(&self.boxes)
            .filter_map(|((logits, objectness), &[x, y, w, h])| {
                let (query, best) = logits.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1))?;
                let score = sigmoid(*best);
                // A NaN is not above anything.
                if score.partial_cmp(&threshold) != Some(std::cmp::Ordering::Greater) {
                    return None;
                }
                let [x, y, w, h] = [x, y, w, h].map(f64::from);
                let bounds = UnitBox {
                    x: (x - w / 2.0) * across,
                    y: (y - h / 2.0) * down,
                    width: w * across,
                    height: h * down,
                };
                Some(Detection { bounds, query, score, objectness: sigmoid(*objectness) })
            })
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }
}

/// Non-maximum suppression: of `found`, the surest first, only those that overlap no surer one by more than `iou` (0..=1),
/// whatever text names them.
#[must_use]
pub fn suppress(found: &[Detection], iou: f64) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for detection in found {
        if kept.iter().all(|surer| surer.bounds.iou(&detection.bounds) <= iou) {
            kept.push(*detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposals() -> Proposals {
        Proposals {
            logits: vec![0.0, 2.0, -3.0, -4.0, 1.0, 0.5, f32::NAN, f32::NAN],
            queries: 2,
            objectness_logits: vec![0.0; 4],
            boxes: vec![[0.25, 0.5, 0.5, 0.2], [0.1; 4], [0.3, 0.5, 0.5, 0.2], [0.5; 4]],
        }
    }

    #[test]
    fn boxes_are_shares_of_the_image_not_of_the_square() {
        // 200 x 100 pixels lie in the upper half of the square.
        let found = proposals().above(0.6, 200, 100);
        assert_eq!(found.iter().map(|d| d.query).collect::<Vec<_>>(), [1, 0]);
        let UnitBox { x, y, width, height } = found[0].bounds;
        assert!(
            x.abs() < 1e-6
                && (y - 0.8).abs() < 1e-6
                && (width - 0.5).abs() < 1e-6
                && (height - 0.4).abs() < 1e-6
        );
        assert!((found[0].score - 0.880_797).abs() < 1e-5 && found[0].objectness == 0.5);
    }

    #[test]
    fn of_two_that_overlap_the_surer_one_stays() {
        let found = proposals().above(0.6, 100, 100);
        // They share 0.45 of 0.55.
        assert_eq!(suppress(&found, 0.8).len(), 1);
        assert_eq!(suppress(&found, 0.83).len(), 2);
        assert_eq!(suppress(&found, 0.8)[0].query, 1);
        assert!(suppress(&[], 0.5).is_empty());
    }
}
