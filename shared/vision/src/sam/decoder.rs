//! The mask decoder: from the image's embedding and prompts to masks and how good they will be.

use std::ops::Range;

use mudi_diffusion::nn::{Builder, LayerNorm, Linear};
use mudi_diffusion::{Activation, Engine, ParameterKind, Result};

use super::config::DecoderConfig;
use super::prompt::Encoded;
use super::two_way::TwoWay;

/// Added to the variances of the norm between the two enlargements.
const EPS: f32 = 1e-6;

/// Linear layers with ReLU between them.
struct Mlp<E: Engine> {
    layers: Vec<Linear<E>>,
}

impl<E: Engine> Mlp<E> {
    fn new(mut at: Builder<'_, E>, [input, hidden, output]: [usize; 3], depth: usize) -> Result<Self> {
        let layers = (0..depth)
            .map(|index| {
                let inputs = if index == 0 { input } else { hidden };
                let outputs = if index + 1 == depth { output } else { hidden };
                at.linear(&format!("layers.{index}"), inputs, outputs)
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let mut x = x.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                x = engine.activation(&x, Activation::Relu)?;
            }
            x = layer.forward(engine, &x)?;
        }
        Ok(x)
    }
}

/// A transposed convolution with kernel and stride 2: each position becomes four, without overlap.
struct Enlargement<E: Engine> {
    /// `[2, 2, O, I]`.
    weight: E::Tensor,
    bias: E::Tensor,
    outputs: usize,
}

impl<E: Engine> Enlargement<E> {
    fn new(mut at: Builder<'_, E>, inputs: usize, outputs: usize) -> Result<Self> {
        let shape = [2, 2, outputs, inputs];
        Ok(Self {
            weight: at.parameter("weight", &shape, ParameterKind::TransposedConvolution)?,
            bias: at.parameter("bias", &[outputs], ParameterKind::Bias { fan_in: inputs })?,
            outputs,
        })
    }

    /// `x [B, H, W, I]` to `[B, 2 H, 2 W, O]`.
    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let (batch, height, width, inputs) = (shape[0], shape[1], shape[2], shape[3]);
        let weight = engine.reshape(&self.weight, &[4 * self.outputs, inputs])?;
        let twice = engine.concat(&self.bias, &self.bias, 0)?;
        let bias = engine.concat(&twice, &twice, 0)?;
        let y = engine.linear(x, &weight, Some(&bias))?;
        let y = engine.reshape(&y, &[batch, height, width, 2, 2, self.outputs])?;
        let y = engine.permute(&y, &[0, 1, 3, 2, 4, 5])?;
        engine.reshape(&y, &[batch, 2 * height, 2 * width, self.outputs])
    }
}

/// The mask decoder.
pub(super) struct MaskDecoder<E: Engine> {
    config: DecoderConfig,
    iou_token: E::Tensor,
    mask_tokens: E::Tensor,
    transformer: TwoWay<E>,
    enlargements: [Enlargement<E>; 2],
    norm: LayerNorm<E>,
    /// One for each mask token.
    hypernetworks: Vec<Mlp<E>>,
    iou_head: Mlp<E>,
}

impl<E: Engine> MaskDecoder<E> {
    pub(super) fn new(config: DecoderConfig, mut root: Builder<'_, E>) -> Result<Self> {
        let width = config.hidden_size;
        let masks = config.num_multimask_outputs + 1;
        let mut upscaling = root.at("output_upscaling");
        let enlargements = [
            Enlargement::new(upscaling.at("0"), width, width / 4)?,
            Enlargement::new(upscaling.at("3"), width / 4, width / 8)?,
        ];
        let norm = upscaling.layer_norm("1", width / 4, EPS)?;
        let hypernetworks = (0..masks)
            .map(|index| {
                let at = root.at(format!("output_hypernetworks_mlps.{index}"));
                Mlp::new(at, [width, width, width / 8], 3)
            })
            .collect::<Result<_>>()?;
        let sizes = [width, config.iou_head_hidden_dim, masks];
        let iou_head = Mlp::new(root.at("iou_prediction_head"), sizes, config.iou_head_depth)?;
        let transformer = TwoWay::new(&config, root.at("transformer"))?;
        let iou_token = root.parameter("iou_token.weight", &[1, width], ParameterKind::Embedding)?;
        let mask_tokens = root.parameter("mask_tokens.weight", &[masks, width], ParameterKind::Embedding)?;
        Ok(Self { config, iou_token, mask_tokens, transformer, enlargements, norm, hypernetworks, iou_head })
    }

    /// Of `image [B, grid, grid, C]`, whose positions are `positions [grid * grid, C]`, the masks of the mask tokens `which`:
    /// logits `[B, masks, 4 grid, 4 grid]`, and estimates of their intersection over union, `[B, masks]`.
    pub(super) fn forward(
        &self,
        engine: &E,
        image: &E::Tensor,
        positions: &E::Tensor,
        prompts: &Encoded<E>,
        which: Range<usize>,
    ) -> Result<(E::Tensor, E::Tensor)> {
        let shape = engine.shape(image);
        let (batch, side, width) = (shape[0], shape[1], shape[3]);
        let tokens = self.tokens(engine, prompts, batch)?;
        let image = with_dense(engine, image, &prompts.dense)?;
        let (tokens, image) = self.transformer.forward(engine, &tokens, &image, positions)?;

        let image = engine.reshape(&image, &[batch, side, side, width])?;
        let [first, second] = &self.enlargements;
        let fine = self.norm.forward(engine, &first.forward(engine, &image)?)?;
        let fine = engine.activation(&fine, Activation::Gelu)?;
        let fine = engine.activation(&second.forward(engine, &fine)?, Activation::Gelu)?;

        let pixels = 16 * side * side;
        let mut masks: Option<E::Tensor> = None;
        for sample in 0..batch {
            let fine = engine.slice(&fine, 0, sample, 1)?;
            let fine = engine.reshape(&fine, &[pixels, width / 8])?;
            let weights = self.hypernetwork(engine, &tokens, sample, which.clone())?;
            let of_sample = engine.permute(&engine.linear(&fine, &weights, None)?, &[1, 0])?;
            masks = Some(match masks {
                None => of_sample,
                Some(masks) => engine.concat(&masks, &of_sample, 0)?,
            });
        }
        let masks = masks.unwrap_or(fine);
        let masks = engine.reshape(&masks, &[batch, which.len(), 4 * side, 4 * side])?;
        let quality = engine.select_positions(&tokens, &vec![0; batch])?;
        let quality = self.iou_head.forward(engine, &quality)?;
        Ok((masks, engine.slice(&quality, 1, which.start, which.len())?))
    }

    /// The tokens for quality and masks, then those of the prompts.
    fn tokens(&self, engine: &E, prompts: &Encoded<E>, batch: usize) -> Result<E::Tensor> {
        let own = engine.concat(&self.iou_token, &self.mask_tokens, 0)?;
        let count = (self.config.num_multimask_outputs + 2) as u32;
        let ids: Vec<u32> = (0..batch).flat_map(|_| 0..count).collect();
        let own = engine.embedding(&own, &ids, batch)?;
        match &prompts.tokens {
            Some(tokens) => engine.concat(&own, tokens, 1),
            None => Ok(own),
        }
    }

    /// What the fine features of a sample are multiplied with for each mask of `which`: `[masks, C / 8]`.
    fn hypernetwork(
        &self,
        engine: &E,
        tokens: &E::Tensor,
        sample: usize,
        which: Range<usize>,
    ) -> Result<E::Tensor> {
        let tokens = engine.slice(tokens, 0, sample, 1)?;
        let mut rows: Option<E::Tensor> = None;
        for (index, mlp) in self.hypernetworks.iter().enumerate().take(which.end).skip(which.start) {
            let token = engine.select_positions(&tokens, &[1 + index])?;
            let row = mlp.forward(engine, &token)?;
            rows = Some(match rows {
                None => row,
                Some(rows) => engine.concat(&rows, &row, 0)?,
            });
        }
        Ok(rows.unwrap_or(tokens))
    }
}

/// `image [B, grid, grid, C]` as `[B, grid * grid, C]`, plus what the earlier masks say: a map, or one vector everywhere.
fn with_dense<E: Engine>(engine: &E, image: &E::Tensor, dense: &E::Tensor) -> Result<E::Tensor> {
    let shape = engine.shape(image);
    let (batch, tokens, width) = (shape[0], shape[1] * shape[2], shape[3]);
    if engine.shape(dense).len() == 3 {
        return engine.add(&engine.reshape(image, &[batch, tokens, width])?, dense);
    }
    let each = engine.add_positions(&engine.reshape(image, &[batch * tokens, 1, width])?, dense)?;
    engine.reshape(&each, &[batch, tokens, width])
}
