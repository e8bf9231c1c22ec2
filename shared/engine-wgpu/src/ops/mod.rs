//! The kernels of each operation. Shapes have been checked.

pub(crate) mod arrange;
pub(crate) mod attention;
pub(crate) mod depthwise;
pub(crate) mod norm;
pub(crate) mod pointwise;
pub(crate) mod product;

/// Values that one element of a binding can hold where all of `lengths` are multiples of it.
fn lanes(lengths: impl IntoIterator<Item = usize>) -> usize {
    if lengths.into_iter().all(|length| length.is_multiple_of(4)) { 4 } else { 1 }
}
