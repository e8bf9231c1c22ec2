//! Where an engine computes.

use candle_core::{DType, Device};

/// Where an engine computes, and in which type.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) device: Device,
    pub(crate) dtype: DType,
}
