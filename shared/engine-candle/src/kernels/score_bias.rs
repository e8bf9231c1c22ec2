//! What an attention adds to its scores, and the gradient of that.

use rayon::prelude::*;

use super::attention::AttentionShape;
use super::{simd, sum_rows};

/// A bias of scores, as `ScoreBias` of the engine describes it.
#[derive(Clone, Copy)]
pub(crate) enum Bias<'a> {
    /// `[heads, T, S]` where it is `shared` by all samples, else `[B * heads, T, S]`.
    Full { values: &'a [f32], shared: bool },
    /// A part for the distance in rows, `[B, T, heads * (2 height - 1)]`, and one for that in columns.
    Relative { grid: [usize; 2], rows: &'a [f32], columns: &'a [f32] },
}

/// How many distances there are between `length` positions.
fn distances(length: usize) -> usize {
    2 * length - 1
}

impl Bias<'_> {
    /// `scores * scale + bias` for queries `first..` of head `at` (sample and head), in place.
    pub(super) fn add_to_scaled(
        self,
        scores: &mut [f32],
        shape: &AttentionShape,
        at: (usize, usize),
        first: usize,
    ) {
        let scale = shape.scale();
        match self {
            Self::Full { values, shared } => {
                let head = if shared { at.1 } else { at.0 * shape.heads + at.1 };
                let values = &values[(head * shape.queries + first) * shape.keys..][..scores.len()];
                simd(
                    #[inline(always)]
                    || {
                        for (score, bias) in scores.iter_mut().zip(values) {
                            *score = *score * scale + bias;
                        }
                    },
                );
            }
            Self::Relative { grid: [height, width], rows, columns } => {
                let mut across = vec![0f32; width];
                for (index, scores) in scores.chunks_exact_mut(shape.keys).enumerate() {
                    let query = first + index;
                    let (y, x) = (query / width, query % width);
                    let place = (at.0 * shape.queries + query) * shape.heads + at.1;
                    let down = &rows[place * distances(height)..][y..y + height];
                    let reversed = &columns[place * distances(width)..][x..x + width];
                    across.iter_mut().zip(reversed.iter().rev()).for_each(|(to, &from)| *to = from);
                    simd(
                        #[inline(always)]
                        || {
                            for (scores, down) in scores.chunks_exact_mut(width).zip(down.iter().rev()) {
                                for (score, across) in scores.iter_mut().zip(&across) {
                                    *score = *score * scale + (down + across);
                                }
                            }
                        },
                    );
                }
            }
        }
    }
}

/// One head's part of a bias's gradient: of the full bias, or of the parts for rows and for columns.
#[derive(Clone, Default)]
pub(crate) struct HeadGradient([Vec<f32>; 2]);

/// The gradient of a bias, head by head.
pub(crate) struct BiasGradient(Vec<HeadGradient>);

impl BiasGradient {
    /// Zeros; nothing for a bias that does not learn.
    pub(super) fn new(bias: Option<Bias<'_>>, shape: &AttentionShape) -> Self {
        let lengths = match bias {
            None => [0, 0],
            Some(Bias::Full { .. }) => [shape.queries * shape.keys, 0],
            Some(Bias::Relative { grid, .. }) => grid.map(|length| shape.queries * distances(length)),
        };
        let head = HeadGradient(lengths.map(|length| vec![0f32; length]));
        Self(vec![head; shape.batch * shape.heads])
    }

    pub(super) fn heads(&mut self) -> rayon::slice::IterMut<'_, HeadGradient> {
        self.0.par_iter_mut()
    }

    /// The gradient of a full bias, in its shape.
    pub(crate) fn full(self, shared: bool, shape: &AttentionShape) -> Vec<f32> {
        let all: Vec<f32> = self.0.into_iter().flat_map(|head| head.0.into_iter().next()).flatten().collect();
        if shared { sum_rows(&all, shape.heads * shape.queries * shape.keys) } else { all }
    }

    /// The gradients of the two parts, in their shapes.
    pub(crate) fn relative(self, grid: [usize; 2], shape: &AttentionShape) -> [Vec<f32>; 2] {
        let part = |index: usize| {
            let all: Vec<f32> = self.0.iter().flat_map(|head| head.0[index].iter().copied()).collect();
            shape.join(&all, shape.queries, distances(grid[index]))
        };
        [part(0), part(1)]
    }
}

impl HeadGradient {
    /// Takes up the scores' gradients, with the scores' scale, of queries `first..`.
    pub(super) fn add(&mut self, bias: Bias<'_>, dscores: &[f32], shape: &AttentionShape, first: usize) {
        let unscale = 1.0 / shape.scale();
        let [down, across] = &mut self.0;
        match bias {
            Bias::Full { .. } => {
                let to = &mut down[first * shape.keys..][..dscores.len()];
                to.iter_mut().zip(dscores).for_each(|(to, from)| *to = from * unscale);
            }
            Bias::Relative { grid: [height, width], .. } => {
                for (index, dscores) in dscores.chunks_exact(shape.keys).enumerate() {
                    let query = first + index;
                    let (y, x) = (query / width, query % width);
                    let down = &mut down[query * distances(height)..][y..y + height];
                    let across = &mut across[query * distances(width)..][x..x + width];
                    for (dscores, down) in dscores.chunks_exact(width).zip(down.iter_mut().rev()) {
                        *down += dscores.iter().sum::<f32>() * unscale;
                        for (across, dscore) in across.iter_mut().rev().zip(dscores) {
                            *across += dscore * unscale;
                        }
                    }
                }
            }
        }
    }
}
