//! OWLv2 (Minderer et al., 2023): finds what a text names, `Owlv2ForObjectDetection` of transformers.
//!
//! Every patch of an image proposes one box and one vector; the vector's cosine with a text's, shifted and scaled by what the
//! patch says, is how likely the box holds what the text names.

mod boxes;
mod config;
mod heads;
mod image;
mod text;

use mudi_diffusion::nn::{Builder, LayerNorm};
use mudi_diffusion::{Engine, Error, Parameters, Result};

pub use boxes::{Detection, Proposals, suppress};
pub use config::{OwlConfig, OwlTextConfig, OwlVisionConfig};

use heads::{BoxHead, ClassHead, grid_bias};
use image::ImageTower;
use text::TextTower;

/// The network.
pub struct Owl<E: Engine> {
    /// Its configuration.
    pub config: OwlConfig,
    text: TextTower<E>,
    image: ImageTower<E>,
    norm: LayerNorm<E>,
    class_head: ClassHead<E>,
    box_head: BoxHead<E>,
    objectness_head: BoxHead<E>,
}

/// What the network says of a batch of images, for `Q` texts; `P` patches an image, row by row.
pub struct OwlOutput<E: Engine> {
    /// How likely a patch's box holds what a text names, before the sigmoid: `[B, P, Q]`.
    pub logits: E::Tensor,
    /// How likely it holds anything, before the sigmoid: `[B, P, 1]`. In the reference's training no gradient flows from it
    /// into the image tower.
    pub objectness_logits: E::Tensor,
    /// Centre across, centre down, width and height of the box in shares of the padded square, before the sigmoid:
    /// `[B, P, 4]`.
    pub box_logits: E::Tensor,
}

impl<E: Engine> Owl<E> {
    /// Builds the network.
    ///
    /// # Errors
    /// A configuration that no network can have; weights that are missing or misshapen.
    pub fn new(config: OwlConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        config.check()?;
        // For whole images against texts, which detection does not ask for.
        parameters.pass_over("owlv2.logit_scale");
        parameters.pass_over("owlv2.visual_projection.weight");
        let text = TextTower::new(&config, parameters)?;
        let mut root = Builder::new(parameters, "");
        let image = ImageTower::new(&config.vision_config, root.at("owlv2.vision_model"))?;
        let (width, eps) = (config.vision_config.hidden_size, config.vision_config.layer_norm_eps);
        Ok(Self {
            text,
            image,
            norm: root.layer_norm("layer_norm", width, eps)?,
            class_head: ClassHead::new(root.at("class_head"), width, config.text_config.hidden_size)?,
            box_head: BoxHead::new(root.at("box_head"), width, 4)?,
            objectness_head: BoxHead::new(root.at("objectness_head"), width, 1)?,
            config,
        })
    }

    /// What texts ask for: `[Q, D]`, from `queries` sequences of token ids of one length, laid end to end.
    ///
    /// # Errors
    /// As [`ClipText::forward`](mudi_diffusion::clip::ClipText::forward).
    pub fn encode_texts(&self, engine: &E, ids: &[u32], queries: usize) -> Result<E::Tensor> {
        self.text.forward(engine, ids, queries)
    }

    /// Looks for `texts [Q, D]` in normalized pixels `[B, H, W, 3]`.
    ///
    /// # Errors
    /// Pixels or texts of another shape; engine errors.
    pub fn forward(&self, engine: &E, pixel_values: &E::Tensor, texts: &E::Tensor) -> Result<OwlOutput<E>> {
        let (states, grid) = self.image.forward(engine, pixel_values)?;
        let features = self.norm.forward(engine, &merge_class_token(engine, &states)?)?;
        let texts_shape = engine.shape(texts);
        if texts_shape.len() != 2 || texts_shape[1] != self.config.text_config.hidden_size {
            let width = self.config.text_config.hidden_size;
            let reason = format!("shape {texts_shape:?} is not [texts, {width}]");
            return Err(Error::Input { name: "text_embeds", reason });
        }
        let bias = engine.from_slice(&grid_bias(grid), &[grid[0] * grid[1], 4])?;
        let boxes = self.box_head.forward(engine, &features)?;
        Ok(OwlOutput {
            logits: self.class_head.forward(engine, &features, texts)?,
            objectness_logits: self.objectness_head.forward(engine, &features)?,
            box_logits: engine.add_positions(&boxes, &bias)?,
        })
    }
}

/// Every patch of `x [B, 1 + P, C]` times the class token before them: `[B, P, C]`.
fn merge_class_token<E: Engine>(engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
    let shape = engine.shape(x);
    let (batch, patches) = (shape[0], shape[1] - 1);
    let class = engine.select_positions(x, &vec![0; batch])?;
    let ids: Vec<u32> = (0..batch as u32).flat_map(|sample| std::iter::repeat_n(sample, patches)).collect();
    let class = engine.embedding(&class, &ids, batch)?;
    engine.mul(&engine.slice(x, 1, 1, patches)?, &class)
}
