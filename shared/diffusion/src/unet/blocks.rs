//! The blocks that a UNet is made of: ResNet block and transformer.

use super::config::AttentionShape;
use crate::engine::{ConvGeometry, Engine};
use crate::error::{Error, Result};
use crate::nn::{Adaptable, Builder, Conv2d, GroupNorm, LayerNorm, Linear};

/// What every block is told besides its input.
pub struct Conditioning<E: Engine> {
    /// SiLU of the embedded timestep (and of SDXL's pooled text and sizes), `[B, time_embed_dim]`.
    pub time: E::Tensor,
    /// Text states, `[B, T, cross_attention_dim]`.
    pub context: E::Tensor,
    /// Multiplies every LoRA's own scale; 0 gives the base model.
    pub lora_scale: f32,
}

/// Two convolutions around a shift by the timestep, with a residual connection (`ResnetBlock2D`).
pub(crate) struct ResNet<E: Engine> {
    norm1: GroupNorm<E>,
    conv1: Conv2d<E>,
    time: Option<Linear<E>>,
    norm2: GroupNorm<E>,
    conv2: Conv2d<E>,
    shortcut: Option<Conv2d<E>>,
}

/// Channels, groups and epsilon of a ResNet block.
pub(crate) struct ResNetShape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Width of the time embedding; none in a VAE.
    pub(crate) time: Option<usize>,
    pub(crate) groups: usize,
    pub(crate) eps: f32,
}

impl<E: Engine> ResNet<E> {
    pub(crate) fn new(at: &mut Builder<'_, E>, shape: &ResNetShape) -> Result<Self> {
        let &ResNetShape { inputs, outputs, time, groups, eps } = shape;
        if !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return Err(Error::Config(format!(
                "{inputs} or {outputs} channels cannot be split in {groups} groups"
            )));
        }
        Ok(Self {
            norm1: at.group_norm("norm1", inputs, groups, eps)?,
            conv1: at.conv3x3("conv1", inputs, outputs)?,
            time: time.map(|width| at.linear("time_emb_proj", width, outputs)).transpose()?,
            norm2: at.group_norm("norm2", outputs, groups, eps)?,
            conv2: at.conv3x3("conv2", outputs, outputs)?,
            shortcut: (inputs != outputs)
                .then(|| at.conv("conv_shortcut", inputs, outputs, 1, ConvGeometry::same(1)))
                .transpose()?,
        })
    }

    /// `x [B, H, W, I]` to `[B, H, W, O]`; `time [B, time_embed_dim]` is past its SiLU.
    pub(crate) fn forward(
        &self,
        engine: &E,
        x: &E::Tensor,
        time: Option<&E::Tensor>,
        lora: f32,
    ) -> Result<E::Tensor> {
        let mut y = self.conv1.forward_with(engine, &self.norm1.forward_silu(engine, x)?, lora)?;
        if let (Some(projection), Some(time)) = (&self.time, time) {
            y = engine.add_per_sample(&y, &projection.forward_with(engine, time, lora)?)?;
        }
        let y = self.conv2.forward_with(engine, &self.norm2.forward_silu(engine, &y)?, lora)?;
        match &self.shortcut {
            Some(shortcut) => engine.add(&shortcut.forward_with(engine, x, lora)?, &y),
            None => engine.add(x, &y),
        }
    }

    /// The layers that a LoRA can be attached to.
    pub(super) fn adaptable(&mut self) -> impl Iterator<Item = Adaptable<'_, E>> {
        let convolutions = [&mut self.conv1, &mut self.conv2].into_iter().chain(&mut self.shortcut);
        convolutions.map(Adaptable::Convolution).chain(self.time.as_mut().map(Adaptable::Linear))
    }
}

/// Query, key, value and output projections around one attention.
pub(super) struct Attention<E: Engine> {
    q: Linear<E>,
    k: Linear<E>,
    v: Linear<E>,
    out: Linear<E>,
    heads: usize,
}

impl<E: Engine> Attention<E> {
    fn new(at: &mut Builder<'_, E>, width: usize, context: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            q: at.linear_no_bias("to_q", width, width)?,
            k: at.linear_no_bias("to_k", context, width)?,
            v: at.linear_no_bias("to_v", context, width)?,
            out: at.linear("to_out.0", width, width)?,
            heads,
        })
    }

    fn forward(&self, engine: &E, x: &E::Tensor, context: &E::Tensor, lora: f32) -> Result<E::Tensor> {
        let q = self.q.forward_with(engine, x, lora)?;
        let k = self.k.forward_with(engine, context, lora)?;
        let v = self.v.forward_with(engine, context, lora)?;
        let y = engine.attention(&q, &k, &v, self.heads, false)?;
        self.out.forward_with(engine, &y, lora)
    }

    fn projections(&mut self) -> [&mut Linear<E>; 4] {
        [&mut self.q, &mut self.k, &mut self.v, &mut self.out]
    }
}

/// Self-attention, attention to the text, and a gated feed-forward layer (`BasicTransformerBlock`).
struct TransformerBlock<E: Engine> {
    norm1: LayerNorm<E>,
    self_attention: Attention<E>,
    norm2: LayerNorm<E>,
    cross_attention: Attention<E>,
    norm3: LayerNorm<E>,
    gated: Linear<E>,
    out: Linear<E>,
}

/// The transformer of one attention layer of a UNet (`Transformer2DModel`).
pub(super) struct Transformer<E: Engine> {
    norm: GroupNorm<E>,
    proj_in: Linear<E>,
    blocks: Vec<TransformerBlock<E>>,
    proj_out: Linear<E>,
}

const LAYER_NORM_EPS: f32 = 1e-5;
const TRANSFORMER_GROUP_NORM_EPS: f32 = 1e-6;

impl<E: Engine> Transformer<E> {
    /// `width` channels. The projections in and out are 1x1 convolutions in some configurations; channels last, that is
    /// the same as a linear layer, so only the shape in the file differs.
    pub(super) fn new(
        at: &mut Builder<'_, E>,
        width: usize,
        groups: usize,
        shape: AttentionShape,
    ) -> Result<Self> {
        let norm = at.group_norm("norm", width, groups, TRANSFORMER_GROUP_NORM_EPS)?;
        let proj_in = at.linear("proj_in", width, width)?;
        let blocks = (0..shape.blocks)
            .map(|index| {
                let mut at = at.at(format!("transformer_blocks.{index}"));
                Ok(TransformerBlock {
                    norm1: at.layer_norm("norm1", width, LAYER_NORM_EPS)?,
                    self_attention: Attention::new(&mut at.at("attn1"), width, width, shape.heads)?,
                    norm2: at.layer_norm("norm2", width, LAYER_NORM_EPS)?,
                    cross_attention: Attention::new(&mut at.at("attn2"), width, shape.context, shape.heads)?,
                    norm3: at.layer_norm("norm3", width, LAYER_NORM_EPS)?,
                    gated: at.linear("ff.net.0.proj", width, 8 * width)?,
                    out: at.linear("ff.net.2", 4 * width, width)?,
                })
            })
            .collect::<Result<_>>()?;
        let proj_out = at.linear("proj_out", width, width)?;
        Ok(Self { norm, proj_in, blocks, proj_out })
    }

    /// `x [B, H, W, C]`, residual.
    pub(super) fn forward(&self, engine: &E, x: &E::Tensor, with: &Conditioning<E>) -> Result<E::Tensor> {
        let shape = engine.shape(x);
        let [batch, height, width, channels] = shape[..] else {
            return Err(Error::Input {
                name: "sample",
                reason: format!("shape {shape:?} has not four axes"),
            });
        };
        let y = self.norm.forward(engine, x)?;
        let y = engine.reshape(&y, &[batch, height * width, channels])?;
        let lora = with.lora_scale;
        let mut y = self.proj_in.forward_with(engine, &y, lora)?;
        for block in &self.blocks {
            let n = block.norm1.forward(engine, &y)?;
            y = engine.add(&y, &block.self_attention.forward(engine, &n, &n, lora)?)?;
            let n = block.norm2.forward(engine, &y)?;
            y = engine.add(&y, &block.cross_attention.forward(engine, &n, &with.context, lora)?)?;
            let n = block.gated.forward_with(engine, &block.norm3.forward(engine, &y)?, lora)?;
            y = engine.add(&y, &block.out.forward_with(engine, &engine.geglu(&n)?, lora)?)?;
        }
        let y = engine.reshape(&self.proj_out.forward_with(engine, &y, lora)?, &shape)?;
        engine.add(x, &y)
    }

    /// The layers that a LoRA can be attached to.
    pub(super) fn adaptable(&mut self) -> impl Iterator<Item = Adaptable<'_, E>> {
        let blocks = self.blocks.iter_mut().flat_map(|block| {
            let attentions =
                block.self_attention.projections().into_iter().chain(block.cross_attention.projections());
            attentions.chain([&mut block.gated, &mut block.out])
        });
        blocks.chain([&mut self.proj_in, &mut self.proj_out]).map(Adaptable::Linear)
    }
}
