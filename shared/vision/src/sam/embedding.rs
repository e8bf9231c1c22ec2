//! An image's embedding as bytes: 16-bit numbers, the lower byte first, in the order `[grid, grid, C]`.

use half::f16;

/// The bytes of an embedding. What 16 bits cannot hold becomes the largest number that they can.
#[must_use]
pub fn to_bytes(embedding: &[f32]) -> Vec<u8> {
    let most = f16::MAX.to_f32();
    embedding.iter().flat_map(|value| f16::from_f32(value.clamp(-most, most)).to_le_bytes()).collect()
}

/// The embedding of those bytes; none where they are not `count` finite numbers.
#[must_use]
pub fn from_bytes(bytes: &[u8], count: usize) -> Option<Vec<f32>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if pairs.len() != count || !rest.is_empty() {
        return None;
    }
    let values: Vec<f32> = pairs.iter().map(|&pair| f16::from_le_bytes(pair).to_f32()).collect();
    values.iter().all(|value| value.is_finite()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedding_comes_back_to_eleven_bits() {
        let values = [0.0, 1.0, -2.5, 0.1, 1e6, -1e6];
        let back = from_bytes(&to_bytes(&values), values.len()).unwrap();
        assert_eq!(back[..3], values[..3]);
        assert!((back[3] - 0.1).abs() < 0.1 / 2048.0);
        assert_eq!(back[4..], [65504.0, -65504.0]);
    }

    #[test]
    fn other_bytes_are_none() {
        let bytes = to_bytes(&[1.0, 2.0]);
        assert_eq!(from_bytes(&bytes, 3), None);
        assert_eq!(from_bytes(&bytes[..3], 1), None);
        assert_eq!(from_bytes(&f16::NAN.to_le_bytes(), 1), None);
        assert_eq!(from_bytes(&[], 0), Some(Vec::new()));
    }
}
