//! Weights with a LoRA added to them as they are read.

use mudi_diffusion::{Engine, Error, ParameterKind, Parameters, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// `adapter_config.json` of the LoRA, as peft writes it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Adapter {
    /// Rank, at least 1.
    #[serde(rename = "r")]
    pub rank: usize,
    /// Times this over the rank the product of the factors is added.
    pub lora_alpha: f32,
    /// Over the rank's root instead.
    #[serde(rename = "use_rslora", default)]
    pub rank_stabilized: bool,
}

/// What else it may say of the rank and the scale of a layer.
#[derive(Deserialize)]
struct Patterns {
    #[serde(default)]
    rank_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<Map<String, Value>>,
}

impl Adapter {
    /// Reads the text of `adapter_config.json`.
    ///
    /// # Errors
    /// Text that is no such file; a rank of 0; layers with ranks or alphas of their own.
    pub fn from_json(text: &str) -> Result<Self> {
        let adapter: Self = mudi_diffusion::parse(text)?;
        if adapter.rank == 0 {
            return Err(Error::Config("`r` is 0; a LoRA has at least rank 1".to_owned()));
        }
        let Patterns { rank_pattern, alpha_pattern } = mudi_diffusion::parse(text)?;
        for (field, pattern) in [("rank_pattern", rank_pattern), ("alpha_pattern", alpha_pattern)] {
            if pattern.is_some_and(|pattern| !pattern.is_empty()) {
                return Err(Error::Config(format!(
                    "`{field}` names layers; one rank and one alpha for all are supported"
                )));
            }
        }
        Ok(adapter)
    }

    /// What the product of the factors is multiplied by.
    fn scale(self) -> f32 {
        let rank = self.rank as f32;
        self.lora_alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
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
        self.engine.add(&weight, &self.engine.scale(&update, adapter.scale())?)
    }

    fn contains(&self, name: &str) -> bool {
        self.base.contains(name)
    }

    fn pass_over(&mut self, name: &str) {
        self.base.pass_over(name);
    }
}

#[cfg(test)]
mod tests {
    use super::Adapter;

    #[test]
    fn the_scale_is_the_one_that_peft_takes() {
        let scale =
            |text: &str| Adapter::from_json(text).map(Adapter::scale).map_err(|error| error.to_string());
        // As DreamSim's authors have published it.
        let published = r#"{"r": 16, "lora_alpha": 0.5, "rank_pattern": {}, "alpha_pattern": null}"#;
        assert_eq!(scale(published), Ok(0.5 / 16.0));
        assert_eq!(scale(r#"{"r": 16, "lora_alpha": 8, "use_rslora": true}"#), Ok(2.0));
        assert!(scale(r#"{"r": 0, "lora_alpha": 8}"#).is_err());
        for field in ["rank_pattern", "alpha_pattern"] {
            let text = format!(r#"{{"r": 16, "lora_alpha": 8, "{field}": {{"blocks.0": 4}}}}"#);
            let error = scale(&text).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    }
}
