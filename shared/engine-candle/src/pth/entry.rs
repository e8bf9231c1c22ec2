//! What a pickle says of a tensor.

use candle_core::DType;

/// A tensor as a pickle describes it; lengths in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TensorEntry {
    /// The name of its storage in the archive.
    pub(super) storage: String,
    /// PyTorch's name for the type of its values.
    pub(super) class: String,
    /// How many elements the storage has.
    pub(super) stored: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl TensorEntry {
    /// The type of its values, where this program knows it.
    pub(super) fn dtype(&self) -> Option<DType> {
        match self.class.as_str() {
            "FloatStorage" => Some(DType::F32),
            "DoubleStorage" => Some(DType::F64),
            "HalfStorage" => Some(DType::F16),
            "BFloat16Storage" => Some(DType::BF16),
            "ByteStorage" => Some(DType::U8),
            "LongStorage" => Some(DType::I64),
            _ => None,
        }
    }

    /// The elements of the storage from its first to its last, where it lies inside; none where it is empty.
    pub(super) fn extent(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            // Its other lengths are multiplied all the same, once it is a tensor.
            let others = self.shape.iter().filter(|length| **length > 0);
            others.copied().try_fold(1usize, usize::checked_mul)?;
            return (self.offset <= self.stored).then_some(0);
        }
        let last = self.shape.iter().zip(&self.strides).try_fold(0usize, |sum, (&length, &stride)| {
            sum.checked_add(length.checked_sub(1)?.checked_mul(stride)?)
        })?;
        let extent = last.checked_add(1)?;
        let inside = self.offset.checked_add(extent)? <= self.stored;
        (inside && self.elements()? <= self.stored).then_some(extent)
    }

    /// How many elements it has.
    pub(super) fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length))
    }

    /// Whether its elements lie one after the other.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected *= length;
            fits
        })
    }
}
