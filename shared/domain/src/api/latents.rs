//! What a picture will be like while it is made, as latents: small, and decoded by whoever looks.

use half::f16;
use serde::{Deserialize, Serialize};

/// The newest latents of a job. On the wire they are this as JSON, its length before it in four bytes, and the values behind it
/// in 16-bit numbers; both numbers have the lower byte first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latents {
    /// The number of the first picture among those of the job.
    pub first: u32,
    /// The step that implies them, from 1.
    pub step: u32,
    /// Steps of a picture.
    pub steps: u32,
    /// Pictures, then their height, width and channels.
    pub shape: [usize; 4],
    /// Red, green and blue, 0 to 1, of each channel, and at the end what is added: about what the base's own decoder would say.
    pub colours: Vec<[f32; 3]>,
    /// Whether the decoder of the model for previews is that of the base.
    pub preview: bool,
    /// `[pictures, height, width, channels]`, as the denoiser has them.
    #[serde(skip)]
    pub values: Vec<f32>,
}

impl Latents {
    /// The longer side of what is sent, at most: the server averages larger ones.
    pub const LONGEST: usize = 64;

    fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, length| product.checked_mul(*length))
    }

    /// The bytes on the wire; none where what they say is not a JSON's.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let header = serde_json::to_vec(self).ok()?;
        let mut bytes = u32::try_from(header.len()).ok()?.to_le_bytes().to_vec();
        bytes.extend(header);
        let most = f16::MAX.to_f32();
        bytes.extend(self.values.iter().flat_map(|v| f16::from_f32(v.clamp(-most, most)).to_le_bytes()));
        Some(bytes)
    }

    /// Reads them; none where something does not fit.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (header, values) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let mut latents: Self = serde_json::from_slice(header).ok()?;
        let (pairs, odd) = values.as_chunks::<2>();
        if !odd.is_empty()
            || latents.count() != Some(pairs.len())
            || latents.colours.len() != latents.shape[3] + 1
        {
            return None;
        }
        latents.values = pairs.iter().map(|&pair| f16::from_le_bytes(pair).to_f32()).collect();
        latents.values.iter().all(|value| value.is_finite()).then_some(latents)
    }

    /// About what each picture looks like, a pixel for each latent: `[height, width, 3]`.
    #[must_use]
    pub fn pixels(&self) -> Vec<Vec<u8>> {
        let [_, height, width, channels] = self.shape;
        let Some((added, colours)) = self.colours.split_last() else { return Vec::new() };
        let pixel = |latent: &[f32]| {
            let sum = |colour: usize| {
                let products = latent.iter().zip(colours).map(|(value, of)| value * of[colour]);
                ((added[colour] + products.sum::<f32>()) * 255.0).round().clamp(0.0, 255.0) as u8
            };
            [sum(0), sum(1), sum(2)]
        };
        let each = (height * width * channels).max(1);
        let picture = |values: &[f32]| values.chunks_exact(channels.max(1)).flat_map(pixel).collect();
        self.values.chunks_exact(each).map(picture).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latents() -> Latents {
        Latents {
            first: 4,
            step: 2,
            steps: 9,
            shape: [2, 1, 2, 2],
            colours: vec![[0.5, 0.0, 0.25], [0.0, -0.5, 0.0], [0.25, 0.75, 0.5]],
            preview: true,
            values: vec![0.0, 0.0, 1.0, 0.5, -1.0, 2.0, 8.0, -8.0],
        }
    }

    #[test]
    fn they_come_back() {
        let bytes = latents().to_bytes().unwrap();
        assert_eq!(Latents::from_bytes(&bytes), Some(latents()));
    }

    #[test]
    fn damaged_bytes_are_none() {
        let bytes = latents().to_bytes().unwrap();
        for cut in [0, 3, 10, bytes.len() - 2, bytes.len() - 1] {
            assert_eq!(Latents::from_bytes(&bytes[..cut]), None, "{cut}");
        }
        let mut long = bytes.clone();
        long[3] = 255;
        assert_eq!(Latents::from_bytes(&long), None);
        let few = Latents { colours: Vec::new(), ..latents() };
        assert_eq!(Latents::from_bytes(&few.to_bytes().unwrap()), None);
        let huge = Latents { shape: [usize::MAX, 2, 2, 2], ..latents() };
        assert_eq!(Latents::from_bytes(&huge.to_bytes().unwrap()), None);
    }

    #[test]
    fn colours_are_sums() {
        // 0.25, 0.75, 0.5 of what is added; then 0.5 more red and 0.25 more blue, 0.25 less green.
        let pixels = latents().pixels();
        assert_eq!(pixels[0], [64, 191, 128, 191, 128, 191]);
        assert_eq!(pixels[1][3..], [255, 255, 255]);
    }
}
