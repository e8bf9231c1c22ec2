//! Weights with a LoRA added to them as they are read.

use mudi_diffusion::{Engine, Error, ParameterKind, Parameters, Result};
use serde::Deserialize;

/// `adapter_config.json` of the LoRA, as peft writes it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Adapter {
    /// Rank, at least 1.
    #[serde(rename = "r")]
    pub rank: usize,
    /// Times this over the rank the product of the factors is added.
    pub lora_alpha: f32,
}

impl Adapter {
    /// Reads the text of `adapter_config.json`.
    ///
    /// # Errors
    /// Text that is no such file; a rank of 0.
    pub fn from_json(text: &str) -> Result<Self> {
        let adapter: Self = mudi_diffusion::parse(text)?;
        if adapter.rank == 0 {
            return Err(Error::Config("`r` is 0; a LoRA has at least rank 1".to_owned()));
        }
        Ok(adapter)
    }
}

/// Weights of one tower, and what the LoRA adds.
pub(super) struct Merged<'a, 'b, 'c, E: Engine> {
    pub(super) engine: &'a E,
    pub(super) base: &'a mut (dyn Parameters<E> + 'b),
    pub(super) adapter: Option<(Adapter, &'a mut (dyn Parameters<E> + 'c))>,
    /// What the LoRA's names start with for this tower.
    pub(super) prefix: String,
}

impl<E: Engine> Parameters<E> for Merged<'_, '_, '_, E> {
    fn get(&mut self, name: &str, shape: &[usize], kind: ParameterKind) -> Result<E::Tensor> {
        let weight = self.base.get(name, shape, kind)?;
        let (Some((adapter, lora)), ParameterKind::Linear, &[outputs, inputs]) =
            (&mut self.adapter, kind, shape)
        else {
            return Ok(weight);
        };
        let module = format!("{}{}", self.prefix, name.strip_suffix(".weight").unwrap_or(name));
        let down = format!("{module}.lora_A.weight");
        if !lora.contains(&down) {
            return Ok(weight);
        }
        let down = lora.get(&down, &[adapter.rank, inputs], ParameterKind::Linear)?;
        let up =
            lora.get(&format!("{module}.lora_B.weight"), &[outputs, adapter.rank], ParameterKind::Linear)?;
        let update = self.engine.linear(&up, &self.engine.permute(&down, &[1, 0])?, None)?;
        let scale = adapter.lora_alpha / adapter.rank as f32;
        self.engine.add(&weight, &self.engine.scale(&update, scale)?)
    }

    fn contains(&self, name: &str) -> bool {
        self.base.contains(name)
    }

    fn pass_over(&mut self, name: &str) {
        self.base.pass_over(name);
    }
}
