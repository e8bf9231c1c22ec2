//! Feature maps cut into square windows, for attention within each of them.

use mudi_diffusion::{Engine, Error, Result};

/// The sizes of a feature map and of the windows that it is cut into, in positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Height and width of the feature map.
    size: [usize; 2],
    /// Side of a window.
    side: usize,
}

impl Windows {
    /// Windows of `side` over a map of `size`; the last ones reach over its edge where it is no multiple of `side`.
    pub(crate) fn new(size: [usize; 2], side: usize) -> Self {
        Self { size, side: side.max(1) }
    }

    /// How many windows there are downwards and across.
    fn counts(&self) -> [usize; 2] {
        self.size.map(|length| length.div_ceil(self.side))
    }

    /// `x [B, H, W, C]` to `[B * windows, side * side, C]`; what lies over the edge is zero.
    pub(crate) fn cut<E: Engine>(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let &[batch, height, width, channels] = shape.as_slice() else {
            return Err(misfit(&shape));
        };
        let ([rows, columns], side) = (self.counts(), self.side);
        let mut x = x.clone();
        for (axis, missing) in [(1, rows * side - height), (2, columns * side - width)] {
            if missing > 0 {
                let mut pad = engine.shape(&x);
                pad[axis] = missing;
                let zeros = engine.from_slice(&vec![0.0; pad.iter().product()], &pad)?;
                x = engine.concat(&x, &zeros, axis)?;
            }
        }
        let x = engine.reshape(&x, &[batch, rows, side, columns, side, channels])?;
        let x = engine.permute(&x, &[0, 1, 3, 2, 4, 5])?;
        engine.reshape(&x, &[batch * rows * columns, side * side, channels])
    }

    /// Puts `[B * windows, side * side, C]` together again: `[B, H, W, C]`, without what lies over the edge.
    pub(crate) fn join<E: Engine>(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let &[windows, _, channels] = shape.as_slice() else {
            return Err(misfit(&shape));
        };
        let ([rows, columns], side) = (self.counts(), self.side);
        let batch = windows / (rows * columns).max(1);
        let x = engine.reshape(x, &[batch, rows, columns, side, side, channels])?;
        let x = engine.permute(&x, &[0, 1, 3, 2, 4, 5])?;
        let mut x = engine.reshape(&x, &[batch, rows * side, columns * side, channels])?;
        for (axis, length) in [(1, self.size[0]), (2, self.size[1])] {
            if engine.shape(&x)[axis] > length {
                x = engine.slice(&x, axis, 0, length)?;
            }
        }
        Ok(x)
    }
}

fn misfit(shape: &[usize]) -> Error {
    Error::Input { name: "windows", reason: format!("a tensor of shape {shape:?} is no feature map") }
}
