//! Prompts, and the tokens and the map that the mask decoder reads them as.

use std::sync::OnceLock;

use mudi_diffusion::nn::{Builder, Conv2d, LayerNorm};
use mudi_diffusion::{Activation, ConvGeometry, Engine, Error, ParameterKind, Result};
use mudi_domain::api::MaskPrompt;

use super::config::{PromptConfig, activation};
use super::positions::Frequencies;

/// A place on the subject or beside it; in pixels of the image that the encoder read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// From the left.
    pub x: f32,
    /// From the top.
    pub y: f32,
    /// Whether it lies on the subject.
    pub on_subject: bool,
}

/// What is to be cut out; in pixels of the image that the encoder read. At least one of its parts has to be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// Places on and beside the subject.
    pub points: Vec<Point>,
    /// A box around it: left, top, right, bottom.
    pub bounds: Option<[f32; 4]>,
    /// An earlier answer, to be improved: logits of a square of [`SamConfig::mask_size`](super::SamConfig::mask_size), row
    /// by row.
    pub mask: Option<Vec<f32>>,
}

impl From<&MaskPrompt> for Prompt {
    fn from(prompt: &MaskPrompt) -> Self {
        let points = prompt.points.iter();
        let points = points.map(|point| Point { x: point.x, y: point.y, on_subject: point.on_subject });
        Self { points: points.collect(), bounds: prompt.bounds, mask: None }
    }
}

/// What a token's position is followed by: a row of the table of learnt vectors.
#[derive(Clone, Copy)]
enum Role {
    Nothing = 0,
    Beside = 1,
    On = 2,
    TopLeft = 3,
    BottomRight = 4,
}

impl Prompt {
    /// Whether it is a single point, which may mean a part as well as the whole: the best of several masks is taken then.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.points.len() == 1 && self.bounds.is_none() && self.mask.is_none()
    }

    /// Places and roles of its tokens. Without a box one more token says so, as in training.
    fn tokens(&self) -> Vec<([f32; 2], Role)> {
        let role = |point: &Point| if point.on_subject { Role::On } else { Role::Beside };
        let mut tokens: Vec<_> = self.points.iter().map(|point| ([point.x, point.y], role(point))).collect();
        match self.bounds {
            Some([left, top, right, bottom]) => {
                tokens.push(([left, top], Role::TopLeft));
                tokens.push(([right, bottom], Role::BottomRight));
            }
            None if !tokens.is_empty() => tokens.push(([0.0; 2], Role::Nothing)),
            None => {}
        }
        tokens
    }
}

/// How an earlier mask becomes a map like the image's embedding.
struct MaskPath<E: Engine> {
    convolutions: [Conv2d<E>; 3],
    norms: [LayerNorm<E>; 2],
    activation: Activation,
}

impl<E: Engine> MaskPath<E> {
    fn new(mut at: Builder<'_, E>, config: &PromptConfig) -> Result<Self> {
        let (channels, eps) = (config.mask_input_channels, config.layer_norm_eps);
        let halves = ConvGeometry { stride: 2, before: 0, after: 0 };
        Ok(Self {
            convolutions: [
                at.conv("0", 1, channels / 4, 2, halves)?,
                at.conv("3", channels / 4, channels, 2, halves)?,
                at.conv("6", channels, config.hidden_size, 1, ConvGeometry::same(1))?,
            ],
            norms: [at.layer_norm("1", channels / 4, eps)?, at.layer_norm("4", channels, eps)?],
            activation: activation(&config.hidden_act)?,
        })
    }

    /// `x [B, 4 grid, 4 grid, 1]` to `[B, grid, grid, C]`.
    fn forward(&self, engine: &E, x: &E::Tensor) -> Result<E::Tensor> {
        let [first, second, last] = &self.convolutions;
        let mut x = x.clone();
        for (convolution, norm) in [first, second].into_iter().zip(&self.norms) {
            let y = norm.forward(engine, &convolution.forward(engine, &x)?)?;
            x = engine.activation(&y, self.activation)?;
        }
        last.forward(engine, &x)
    }
}

/// Prompts as the mask decoder reads them.
pub(super) struct Encoded<E: Engine> {
    /// Points and corners, `[B, tokens, C]`; none where there are masks only.
    pub(super) tokens: Option<E::Tensor>,
    /// What earlier masks say, `[B, grid * grid, C]`; without masks a single vector for all positions, `[1, C]`.
    pub(super) dense: E::Tensor,
}

/// The prompt encoder.
pub(super) struct PromptEncoder<E: Engine> {
    config: PromptConfig,
    frequencies: Frequencies,
    /// In the order of [`Role`], each `[1, C]`.
    roles: [E::Tensor; 5],
    mask: MaskPath<E>,
    no_mask: E::Tensor,
    /// Positions of the image's embedding: they are the same for every prompt.
    grid: OnceLock<E::Tensor>,
}

impl<E: Engine> PromptEncoder<E> {
    pub(super) fn new(engine: &E, config: PromptConfig, mut root: Builder<'_, E>) -> Result<Self> {
        let width = config.hidden_size;
        let name = "pe_layer.positional_encoding_gaussian_matrix";
        let matrix = root.values(engine, name, &[2, width / 2], ParameterKind::Embedding)?;
        let mut vector =
            |name: &str| root.parameter(&format!("{name}.weight"), &[1, width], ParameterKind::Embedding);
        let roles = [
            vector("not_a_point_embed")?,
            vector("point_embeddings.0")?,
            vector("point_embeddings.1")?,
            vector("point_embeddings.2")?,
            vector("point_embeddings.3")?,
        ];
        let no_mask = vector("no_mask_embed")?;
        let mask = MaskPath::new(root.at("mask_downscaling"), &config)?;
        let frequencies = Frequencies::new(matrix);
        Ok(Self { config, frequencies, roles, mask, no_mask, grid: OnceLock::new() })
    }

    /// Positions of the image's embedding, `[grid * grid, C]`.
    pub(super) fn grid(&self, engine: &E) -> Result<E::Tensor> {
        if let Some(grid) = self.grid.get() {
            return Ok(grid.clone());
        }
        let grid = self.frequencies.grid(engine, self.config.grid())?;
        Ok(self.grid.get_or_init(|| grid).clone())
    }

    /// Encodes prompts that have the same parts.
    pub(super) fn forward(&self, engine: &E, prompts: &[Prompt]) -> Result<Encoded<E>> {
        let tokens: Vec<_> = prompts.iter().map(Prompt::tokens).collect();
        let count = tokens.first().map_or(0, Vec::len);
        let masked = prompts.first().is_some_and(|prompt| prompt.mask.is_some());
        let alike =
            |(tokens, prompt): (&Vec<_>, &Prompt)| tokens.len() == count && prompt.mask.is_some() == masked;
        if !tokens.iter().zip(prompts).all(alike) {
            let reason = "prompts of one batch need as many points each, and boxes and masks in all or none";
            return Err(Error::Input { name: "prompts", reason: reason.to_owned() });
        }
        if count == 0 && !masked {
            let reason = "nothing is pointed at: give a point, a box or an earlier mask";
            return Err(Error::Input { name: "prompts", reason: reason.to_owned() });
        }
        let tokens = if count == 0 { None } else { Some(self.embed(engine, &tokens)?) };
        let dense = if masked { self.dense(engine, prompts)? } else { self.no_mask.clone() };
        Ok(Encoded { tokens, dense })
    }

    fn embed(&self, engine: &E, tokens: &[Vec<([f32; 2], Role)>]) -> Result<E::Tensor> {
        let (batch, count, width) = (tokens.len(), tokens[0].len(), self.config.hidden_size);
        let size = self.config.image_size as f32;
        // Positions are those of the middle of a pixel.
        let places = tokens.iter().flatten().map(|(place, _)| place.map(|at| (at + 0.5) / size));
        let mut positions = self.frequencies.encode(places);
        for (row, (_, role)) in positions.chunks_exact_mut(width).zip(tokens.iter().flatten()) {
            if matches!(role, Role::Nothing) {
                row.fill(0.0);
            }
        }
        let positions = engine.from_slice(&positions, &[batch, count, width])?;
        let mut table = self.roles[0].clone();
        for role in &self.roles[1..] {
            table = engine.concat(&table, role, 0)?;
        }
        let ids: Vec<u32> = tokens.iter().flatten().map(|(_, role)| *role as u32).collect();
        engine.add(&positions, &engine.embedding(&table, &ids, batch)?)
    }

    fn dense(&self, engine: &E, prompts: &[Prompt]) -> Result<E::Tensor> {
        let (grid, width) = (self.config.grid(), self.config.hidden_size);
        let side = 4 * grid;
        let masks: Vec<f32> =
            prompts.iter().filter_map(|prompt| prompt.mask.as_ref()).flatten().copied().collect();
        if masks.len() != prompts.len() * side * side {
            let reason = format!("an earlier mask has to be {side} x {side} logits");
            return Err(Error::Input { name: "input_masks", reason });
        }
        let masks = engine.from_slice(&masks, &[prompts.len(), side, side, 1])?;
        let dense = self.mask.forward(engine, &masks)?;
        engine.reshape(&dense, &[prompts.len(), grid * grid, width])
    }
}
