//! Flags that change a base model.

use std::path::PathBuf;
use std::str::FromStr;

use mudi::base::Source;

use super::{Failure, model_path};

/// What a base model is given besides its own.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Changes {
    /// Autoencoder in place of the base's own: a folder with `config.json`, or a .safetensors file.
    #[arg(long, value_name = "PATH")]
    vae: Option<PathBuf>,
    /// LoRA of any tool to add to the base, with its weight (1 where none is given); may be given several times.
    #[arg(long, value_name = "FILE[:WEIGHT]")]
    lora: Vec<WeightedLora>,
}

impl Changes {
    /// The base model with these changes. `vae` counts where no flag names another.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(super) fn source(&self, base: &std::path::Path, vae: Option<PathBuf>) -> Result<Source, Failure> {
        let loras: Vec<(PathBuf, f32)> =
            self.lora.iter().map(|lora| (lora.path.clone(), lora.weight)).collect();
        let vae = self.vae.clone().or(vae);
        Ok(Source::open(&model_path(base)?)?.with_vae(vae.as_deref())?.with_loras(&loras)?)
    }

    /// The LoRAs' names and weights, as the parameters of a picture have them.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |lora: &WeightedLora| {
            let file = lora.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            format!("{file}:{}", lora.weight)
        };
        self.lora.iter().map(name).collect()
    }
}

/// `FILE` or `FILE:WEIGHT`.
#[derive(Clone, Debug, PartialEq)]
struct WeightedLora {
    path: PathBuf,
    weight: f32,
}

/// Weights beyond this are a mistake.
const MOST: f32 = 20.0;

impl FromStr for WeightedLora {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may have colons of its own.
        let (path, weight) = match text.rsplit_once(':').map(|(path, weight)| (path, weight.parse::<f32>())) {
            Some((path, Ok(weight))) => (path, weight),
            _ => (text, 1.0),
        };
        if path.is_empty() {
            return Err("names no file; give FILE or FILE:WEIGHT".to_owned());
        }
        if !weight.is_finite() || weight.abs() > MOST {
            return Err(format!("the weight {weight} must be a number from -{MOST} to {MOST}"));
        }
        Ok(Self { path: path.into(), weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_follows_the_last_colon() {
        let parsed = |text: &str| text.parse::<WeightedLora>().map(|lora| (lora.path, lora.weight));
        assert_eq!(parsed("a.safetensors"), Ok(("a.safetensors".into(), 1.0)));
        assert_eq!(parsed("a.safetensors:0.5"), Ok(("a.safetensors".into(), 0.5)));
        assert_eq!(parsed("C:\\a:b:-1"), Ok(("C:\\a:b".into(), -1.0)));
        assert_eq!(parsed("C:\\a.safetensors"), Ok(("C:\\a.safetensors".into(), 1.0)));
        for wrong in ["", ":1", "a:nan", "a:1e9"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
