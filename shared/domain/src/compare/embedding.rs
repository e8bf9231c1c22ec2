//! Identity vectors.

/// A network's description of an image, of length 1: only its direction counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f64>);

/// Values that have no direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// NaN or infinite.
    #[error("value {index} of an embedding is not a number; the network or its input is damaged")]
    NotANumber {
        /// Which value.
        index: usize,
    },
    /// No values, or all 0.
    #[error("an embedding is zero, so it has no direction; the network or its weights are damaged")]
    Zero,
}

impl Embedding {
    /// The direction of `values`.
    ///
    /// # Errors
    /// [`EmbeddingError`]: values that are no numbers, or all 0.
    pub fn new(values: &[f32]) -> Result<Self, EmbeddingError> {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(EmbeddingError::NotANumber { index });
        }
        // Squares of f32 neither overflow nor vanish in f64.
        let length = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if length == 0.0 {
            return Err(EmbeddingError::Zero);
        }
        Ok(Self(values.iter().map(|&value| f64::from(value) / length).collect()))
    }

    /// How many values it has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle between two embeddings of one width, -1..=1.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f64 {
        let product: f64 = self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum();
        product.clamp(-1.0, 1.0)
    }
}
