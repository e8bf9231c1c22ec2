//! What can go wrong while a network is built or run.

/// An error of a network, its configuration or its weights. The message names the tensor or the field at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A weight that the configuration asks for is not in the file.
    #[error("tensor `{name}` is missing (expected shape {expected:?})")]
    MissingTensor {
        /// The name as diffusers writes it.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A weight is there, but has another shape than the configuration says.
    #[error("tensor `{name}` has shape {found:?}, but config.json asks for {expected:?}")]
    TensorShape {
        /// The name as diffusers writes it.
        name: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The configuration is not JSON, or a field has an impossible value.
    #[error("config: {0}")]
    Config(String),
    /// An input tensor does not fit the network.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The argument, named as diffusers names it.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine failed (out of memory, a shape that no kernel takes, a device error).
    #[error("engine: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps an engine's own error.
    pub fn engine(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Box::new(source))
    }
}

/// The result of building or running a network.
pub type Result<T> = std::result::Result<T, Error>;
