//! AdamW whose moments take a byte each.

use mudi_diffusion::{Error, Result};
use rayon::prelude::*;

use super::quantized::{BLOCK, SIGNED, Table, UNSIGNED, decode, encode, zero};
use super::{AdamWConfig, Kept, on_values};
use crate::slices::Slice;
use crate::tape::{Gradients, Tensor};

/// One moment of one weight.
#[derive(Clone, Debug, PartialEq)]
struct Quantized {
    codes: Vec<u8>,
    /// One for each block.
    scales: Vec<f32>,
}

impl Quantized {
    fn zeros(table: &Table, length: usize) -> Self {
        Self { codes: vec![zero(table); length], scales: vec![0.0; length.div_ceil(BLOCK)] }
    }

    fn restored(length: usize, codes: Kept, scales: Kept) -> Option<Self> {
        let (codes, scales) = (codes.codes()?, scales.numbers()?);
        (codes.len() == length && scales.len() == length.div_ceil(BLOCK)).then_some(Self { codes, scales })
    }
}

/// AdamW with moments in one byte: a quarter of the memory.
pub struct AdamW8 {
    config: AdamWConfig,
    /// Updates made so far.
    pub step: u64,
    /// First and second, in the order that the weights are given in.
    moments: Vec<[Quantized; 2]>,
}

impl AdamW8 {
    /// An optimizer that has not made a step.
    #[must_use]
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, step: 0, moments: Vec::new() }
    }

    pub(super) fn update<'a>(
        &mut self,
        weights: impl IntoIterator<Item = (&'a Tensor, f64)>,
        gradients: &Gradients,
        gradient_scale: f64,
    ) -> Result<()> {
        self.step += 1;
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let first_correction = 1.0 - beta1.powi(power);
        let correction = (1.0 / (1.0 - beta2.powi(power)).sqrt()) as f32;
        let (b1, b2, new1, new2) = (beta1 as f32, beta2 as f32, (1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let (epsilon, scale) = (epsilon as f32, gradient_scale as f32);
        for (index, (weight, learning_rate)) in weights.into_iter().enumerate() {
            let rate = (learning_rate / first_correction) as f32;
            let keep = (1.0 - learning_rate * weight_decay) as f32;
            let length = weight.value().elem_count();
            if self.moments.len() <= index {
                self.moments.push([Quantized::zeros(&SIGNED, length), Quantized::zeros(&UNSIGNED, length)]);
            }
            let Some(gradient) = gradients.get(weight) else { continue };
            let gradient = gradient.contiguous().map_err(Error::engine)?;
            let gradient = Slice::of(&gradient)?;
            let [first, second] = &mut self.moments[index];
            on_values(weight, |weights| {
                weights
                    .par_chunks_mut(BLOCK)
                    .zip(gradient.par_chunks(BLOCK))
                    .zip(first.codes.par_chunks_mut(BLOCK).zip(&mut first.scales))
                    .zip(second.codes.par_chunks_mut(BLOCK).zip(&mut second.scales))
                    .for_each(|(((weights, gradient), (codes1, scale1)), (codes2, scale2))| {
                        let count = weights.len();
                        let (mut m, mut v) = ([0.0; BLOCK], [0.0; BLOCK]);
                        decode(&SIGNED, codes1, *scale1, &mut m[..count]);
                        decode(&UNSIGNED, codes2, *scale2, &mut v[..count]);
                        for (((w, &g), m), v) in weights.iter_mut().zip(gradient).zip(&mut m).zip(&mut v) {
                            let g = g * scale;
                            *m = b1 * *m + new1 * g;
                            *v = b2 * *v + new2 * g * g;
                            *w = keep * *w - rate * *m / (v.sqrt() * correction + epsilon);
                        }
                        *scale1 = encode(&SIGNED, &m[..count], codes1);
                        *scale2 = encode(&UNSIGNED, &v[..count], codes2);
                    });
            })?;
        }
        Ok(())
    }

    pub(super) fn kept(&self, index: usize) -> Option<Vec<Kept>> {
        let parts =
            |moment: &Quantized| [Kept::Codes(moment.codes.clone()), Kept::Numbers(moment.scales.clone())];
        self.moments.get(index).map(|moments| moments.iter().flat_map(parts).collect())
    }

    pub(super) fn restore(&mut self, step: u64, kept: Vec<(usize, Vec<Kept>)>) -> Option<()> {
        let moments = |(length, parts): (usize, Vec<Kept>)| {
            let [codes1, scales1, codes2, scales2] = <[Kept; 4]>::try_from(parts).ok()?;
            Some([
                Quantized::restored(length, codes1, scales1)?,
                Quantized::restored(length, codes2, scales2)?,
            ])
        };
        self.moments = kept.into_iter().map(moments).collect::<Option<_>>()?;
        self.step = step;
        Some(())
    }
}
