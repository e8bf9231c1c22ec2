//! What an attention adds to its scores, tile by tile, and the gradient of that.

use candle_core::{D, DType, Result, Tensor as Value};

use super::wide;

/// A bias of scores, as `ScoreBias` of the engine describes it; values of one head are a matrix.
pub(super) enum Bias {
    /// `[heads, T, S]`, or `[B * heads, T, S]`.
    Full(Value),
    /// `[B * heads, T, 2 height - 1]` and `[B * heads, T, 2 width - 1]`.
    Relative { grid: [usize; 2], parts: [Value; 2] },
}

/// How many distances there are between `length` positions.
fn distances(length: usize) -> usize {
    2 * length - 1
}

impl Bias {
    /// Which distances queries `first..first + count` see along an axis: `[B * heads, count, length]`.
    fn seen(
        grid: [usize; 2],
        axis: usize,
        first: usize,
        [heads, count]: [usize; 2],
        on: &Value,
    ) -> Result<Value> {
        let length = grid[axis];
        let ids: Vec<u32> = (first..first + count)
            .flat_map(|query| {
                let at = if axis == 0 { query / grid[1] } else { query % grid[1] };
                (0..length).map(move |key| (at + length - 1 - key) as u32)
            })
            .collect();
        Value::from_vec(ids, (1, count, length), on.device())?
            .broadcast_as((heads, count, length))?
            .contiguous()
    }

    /// `scores [B * heads, tile, S]` of queries `first..`, in `f32`, plus the bias.
    pub(super) fn add_to(&self, scores: &Value, first: usize) -> Result<Value> {
        let (heads, count, keys) = scores.dims3()?;
        match self {
            Self::Full(values) => {
                let samples = heads / values.dim(0)?;
                let tile = wide(&values.narrow(1, first, count)?)?.unsqueeze(0)?;
                scores
                    .reshape((samples, (), count, keys))?
                    .broadcast_add(&tile)?
                    .reshape((heads, count, keys))
            }
            Self::Relative { grid, parts } => {
                let part = |axis: usize| {
                    let ids = Self::seen(*grid, axis, first, [heads, count], scores)?;
                    wide(&parts[axis].narrow(1, first, count)?.contiguous()?.gather(&ids, D::Minus1)?)
                };
                scores
                    .reshape((heads, count, grid[0], grid[1]))?
                    .broadcast_add(&part(0)?.unsqueeze(3)?)?
                    .broadcast_add(&part(1)?.unsqueeze(2)?)?
                    .reshape((heads, count, keys))
            }
        }
    }
}

/// Tiles of the gradients of a bias's parts, in `f32`.
#[derive(Default)]
pub(super) struct BiasGradient([Vec<Value>; 2]);

impl BiasGradient {
    /// Takes up the gradient of the scores of queries `first..`.
    pub(super) fn add(&mut self, bias: &Bias, dscores: &Value, first: usize) -> Result<()> {
        let (heads, count, keys) = dscores.dims3()?;
        match bias {
            Bias::Full(values) => {
                let samples = heads / values.dim(0)?;
                self.0[0].push(dscores.reshape((samples, (), count, keys))?.sum(0)?);
            }
            Bias::Relative { grid, .. } => {
                let dscores = dscores.reshape((heads, count, grid[0], grid[1]))?;
                for axis in 0..2 {
                    let sums = dscores.sum(3 - axis)?;
                    let ids = Bias::seen(*grid, axis, first, [heads, count], &sums)?;
                    let zeros =
                        Value::zeros((heads, count, distances(grid[axis])), DType::F32, sums.device())?;
                    self.0[axis].push(zeros.scatter_add(&ids, &sums, D::Minus1)?);
                }
            }
        }
        Ok(())
    }

    /// The gradient of each part, in `dtype`; `join` turns matrices of heads into rows of samples.
    pub(super) fn finish(
        self,
        bias: &Bias,
        dtype: DType,
        join: impl Fn(&Value) -> Result<Value>,
    ) -> Result<Vec<Value>> {
        let parts = self.0.iter().filter(|tiles| !tiles.is_empty());
        parts
            .map(|tiles| {
                let whole = Value::cat(tiles, 1)?.to_dtype(dtype)?;
                match bias {
                    Bias::Full(_) => whole.contiguous(),
                    Bias::Relative { .. } => join(&whole),
                }
            })
            .collect()
    }
}
