//! What can go wrong on a GPU.

/// An error of the GPU or of its driver.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no adapter.
    #[error("no GPU adapter was found ({reason}); turn on WebGPU in the browser, or install its driver")]
    NoAdapter {
        /// What the browser or the driver says.
        reason: String,
    },
    /// The adapter gives no device.
    #[error("the GPU `{adapter}` does not start ({reason}); update its driver, or do without it")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What the browser or the driver says.
        reason: String,
    },
    /// The device is gone: unplugged, reset by a watchdog, or destroyed. Whoever holds the engine makes a new one.
    #[error("the GPU was lost ({reason})")]
    Lost {
        /// What the browser or the driver says.
        reason: String,
    },
    /// The device has no memory left. Nobody says more of it.
    #[error("the GPU is out of memory; close other programs and pages that use it, or do without it")]
    OutOfMemory,
    /// The driver refused what it was asked for.
    #[error("the GPU's driver refused a command ({reason})")]
    Refused {
        /// What the browser or the driver says.
        reason: String,
    },
    /// A tensor is larger than what a kernel can read on this adapter.
    #[error(
        "a tensor of {bytes} bytes is more than this GPU can bind at once ({limit} bytes); take a smaller model, or do without it"
    )]
    TooLarge {
        /// Bytes of the tensor.
        bytes: u64,
        /// The adapter's limit.
        limit: u64,
    },
    /// Values were asked for at once where a browser gives them only later.
    #[error("a browser cannot wait for a GPU; the values must be read asynchronously")]
    CannotWait,
}

impl From<GpuError> for mudi_diffusion::Error {
    fn from(error: GpuError) -> Self {
        Self::engine(error)
    }
}
