//! Learnt positions, and the same for another grid than they were learnt on.

use mudi_diffusion::nn::Builder;
use mudi_diffusion::{Engine, Error, ParameterKind, Result};

/// A vector for the class token, and one for each cell of a square grid, row by row.
pub(crate) struct Positions<E: Engine> {
    /// `[1 + side * side, C]`, perhaps with a first axis of 1.
    table: E::Tensor,
    side: usize,
}

impl<E: Engine> Positions<E> {
    /// The table called `name`, `[1 + side * side, C]`; with `first_axis` the file has it with a first axis of 1.
    pub(crate) fn new(
        root: &mut Builder<'_, E>,
        name: &str,
        side: usize,
        width: usize,
        first_axis: bool,
    ) -> Result<Self> {
        let cells = side.checked_mul(side).filter(|&cells| cells > 0).ok_or_else(|| {
            Error::Config("`image_size` is smaller than `patch_size`, or much too large".to_owned())
        })?;
        let shape = [1, 1 + cells, width];
        let shape = if first_axis { &shape[..] } else { &shape[1..] };
        Ok(Self { table: root.parameter(name, shape, ParameterKind::Embedding)?, side })
    }

    /// Adds the positions to `x [B, 1 + h * w, C]`, interpolated where the grid `[h, w]` is not the one they were learnt on.
    pub(crate) fn add(&self, engine: &E, x: &E::Tensor, grid: [usize; 2]) -> Result<E::Tensor> {
        let cells = self.side * self.side;
        let width = engine.shape(&self.table).last().copied().unwrap_or(0);
        // Here and not once for all: where the table learns, each pass has to record this.
        let table = engine.reshape(&self.table, &[1 + cells, width])?;
        if grid == [self.side; 2] {
            return engine.add_positions(x, &table);
        }
        let class = engine.slice(&table, 0, 0, 1)?;
        let learnt = engine.permute(&engine.slice(&table, 0, 1, cells)?, &[1, 0])?;
        let weights = engine.from_slice(&grid_weights(self.side, grid), &[grid[0] * grid[1], cells])?;
        let fitted = engine.permute(&engine.linear(&learnt, &weights, None)?, &[1, 0])?;
        engine.add_positions(x, &engine.concat(&class, &fitted, 0)?)
    }
}

/// How much each cell of a square grid counts for each of another grid: `[h * w, side * side]`.
fn grid_weights(side: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let (down, across) = (cubic(side, height), cubic(side, width));
    let mut weights = vec![0.0; height * width * side * side];
    for (cell, row) in weights.chunks_exact_mut(side * side).enumerate() {
        for &(y, vertical) in &down[cell / width] {
            for &(x, horizontal) in &across[cell % width] {
                row[y * side + x] += vertical * horizontal;
            }
        }
    }
    weights
}

/// PyTorch's bicubic interpolation along an axis (`a = -0.75`, centres aligned at one half, outermost values repeated,
/// without smoothing): for each of `to` positions four of the `from` values, with their weights.
fn cubic(from: usize, to: usize) -> Vec<[(usize, f32); 4]> {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|index| {
            let position = (index as f64 + 0.5) * scale - 0.5;
            let first = position.floor();
            let t = position - first;
            let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
            std::array::from_fn(|k| {
                let at = (first + k as f64 - 1.0).clamp(0.0, (from - 1) as f64);
                (at as usize, weights[k] as f32)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_each_cell_sum_to_one() {
        for row in grid_weights(5, [3, 8]).chunks_exact(25) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn the_same_grid_is_the_same_table() {
        for (cell, row) in grid_weights(4, [4, 4]).chunks_exact(16).enumerate() {
            assert!(row.iter().enumerate().all(|(i, w)| (w - f32::from(i == cell)).abs() < 1e-6));
        }
    }
}
