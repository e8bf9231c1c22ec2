//! A big picture or its latents out of small ones that overlap, so that the autoencoder needs the memory of one of them.

use std::ops::Range;

/// The share of a tile that overlaps with the next one.
const OVERLAP: f64 = 0.25;

/// Where tiles of `tile` places lie on an axis of `length`: they cover it, and overlap by at least a quarter of a tile.
pub(super) fn places(length: usize, tile: usize) -> Vec<Range<usize>> {
    let tile = tile.clamp(1, length.max(1));
    if tile >= length {
        return std::iter::once(0..length).collect();
    }
    let step = ((tile as f64 * (1.0 - OVERLAP)) as usize).max(1);
    let count = (length - tile).div_ceil(step) + 1;
    // Evenly, so that the last one is as large as the others.
    (0..count)
        .map(|index| {
            let start = (length - tile) * index / (count - 1);
            start..start + tile
        })
        .collect()
}

/// Tiles that are added up, each weighing less towards its edges.
pub(super) struct Canvas {
    width: usize,
    channels: usize,
    /// `[height, width, channels]`.
    sum: Vec<f32>,
    weight: Vec<f32>,
}

impl Canvas {
    pub(super) fn new([height, width, channels]: [usize; 3]) -> Self {
        let places = height * width;
        Self { width, channels, sum: vec![0.0; places * channels], weight: vec![0.0; places] }
    }

    /// Adds the values of a tile, `[rows, columns, channels]`.
    pub(super) fn add(&mut self, rows: Range<usize>, columns: Range<usize>, values: &[f32]) {
        let channels = self.channels;
        let across = columns.len();
        for (row, line) in rows.clone().zip(values.chunks_exact(across * channels)) {
            let down = rise(row - rows.start, rows.len());
            for (column, pixel) in columns.clone().zip(line.chunks_exact(channels)) {
                let weight = down * rise(column - columns.start, across);
                let at = row * self.width + column;
                self.weight[at] += weight;
                for (sum, value) in self.sum[at * channels..][..channels].iter_mut().zip(pixel) {
                    *sum += weight * value;
                }
            }
        }
    }

    /// What the tiles give together, `[height, width, channels]`.
    pub(super) fn finish(mut self) -> Vec<f32> {
        for (pixel, weight) in self.sum.chunks_exact_mut(self.channels).zip(&self.weight) {
            pixel.iter_mut().for_each(|value| *value /= weight);
        }
        self.sum
    }
}

/// How much a place counts: less within the overlap at either end.
fn rise(at: usize, length: usize) -> f32 {
    let ramp = (length as f64 * OVERLAP).max(1.0);
    let edge = (at.min(length - 1 - at) + 1) as f64;
    (edge / ramp).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tiles_cover_and_overlap(length in 1usize..300, tile in 1usize..200) {
            let places = places(length, tile);
            prop_assert_eq!((places[0].start, places[places.len() - 1].end), (0, length));
            for pair in places.windows(2) {
                prop_assert!(pair[1].start < pair[0].end || tile == 1, "{:?}", pair);
                prop_assert_eq!(pair[0].len(), pair[1].len());
            }
        }

        /// Whatever the tiles, a picture that all of them agree on comes back.
        #[test]
        fn tiles_that_agree_give_the_picture(height in 1usize..40, width in 1usize..40, tile in 2usize..30) {
            let value = |row: usize, column: usize, color: usize| (row * 7 + column * 3 + color) as f32 / 100.0;
            let mut canvas = Canvas::new([height, width, 3]);
            for rows in places(height, tile) {
                for columns in places(width, tile) {
                    let pixels: Vec<f32> = rows.clone()
                        .flat_map(|row| columns.clone().flat_map(move |column| (0..3).map(move |c| value(row, column, c))))
                        .collect();
                    canvas.add(rows.clone(), columns, &pixels);
                }
            }
            for (index, found) in canvas.finish().into_iter().enumerate() {
                let expected = value(index / 3 / width, index / 3 % width, index % 3);
                prop_assert!((found - expected).abs() < 1e-4);
            }
        }
    }
}
