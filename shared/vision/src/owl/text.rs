//! The text tower: CLIP's text encoder with its projection.

use mudi_diffusion::clip::ClipText;
use mudi_diffusion::{Engine, Error, ParameterKind, Parameters, Result};

use super::config::OwlConfig;

/// Texts to vectors.
pub(super) struct TextTower<E: Engine>(ClipText<E>);

/// Weights whose names start with what the network does not know of.
struct Below<'a, E: Engine> {
    parameters: &'a mut dyn Parameters<E>,
    prefix: &'static str,
}

impl<E: Engine> Parameters<E> for Below<'_, E> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor> {
        self.parameters.get(&format!("{}{name}", self.prefix), shape, kind)
    }

    fn contains(&self, name: &str) -> bool {
        self.parameters.contains(&format!("{}{name}", self.prefix))
    }

    fn pass_over(&mut self, name: &str) {
        self.parameters.pass_over(&format!("{}{name}", self.prefix));
    }
}

impl<E: Engine> TextTower<E> {
    pub(super) fn new(config: &OwlConfig, parameters: &mut dyn Parameters<E>) -> Result<Self> {
        ClipText::new(config.as_clip(), &mut Below { parameters, prefix: "owlv2." }).map(Self)
    }

    /// `[Q, D]`.
    pub(super) fn forward(&self, engine: &E, ids: &[u32], queries: usize) -> Result<E::Tensor> {
        let text = self.0.forward(engine, ids, queries)?;
        // `as_clip` asks for the projection.
        text.pooled.ok_or_else(|| Error::Config("the text tower has no `text_projection`".to_owned()))
    }
}
