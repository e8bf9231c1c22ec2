//! Tensors in the GPU's memory.

use std::cell::RefCell;
use std::rc::Rc;

use crate::pool::Pool;

/// A tensor in the GPU's memory; cloning shares the values. Its memory is used again when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Tensor {
    memory: Rc<Memory>,
    shape: Rc<[usize]>,
}

#[derive(Debug)]
struct Memory {
    buffer: wgpu::Buffer,
    pool: Rc<RefCell<Pool>>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.pool.borrow_mut().release(self.buffer.clone());
    }
}

impl Tensor {
    pub(crate) fn new(buffer: wgpu::Buffer, pool: Rc<RefCell<Pool>>, shape: &[usize]) -> Self {
        Self { memory: Rc::new(Memory { buffer, pool }), shape: shape.into() }
    }

    /// The same values under another shape of as many values.
    pub(crate) fn with_shape(&self, shape: &[usize]) -> Self {
        Self { memory: self.memory.clone(), shape: shape.into() }
    }

    pub(crate) fn buffer(&self) -> &wgpu::Buffer {
        &self.memory.buffer
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many values it has.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The length of the last axis; 1 where there is none.
    pub(crate) fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}
