//! The scales that a LoRA's file keeps outside of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use crate::weights::WeightsError;

/// The entry of a file's metadata in which diffusers keeps PEFT's configurations.
pub const ADAPTER_ENTRY: &str = "lora_adapter_metadata";

/// What PEFT calls its configuration beside `adapter_model.safetensors`.
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Alphas by layer: one configuration for each network, found by what a layer's name starts with.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults(Vec<(String, Config)>);

#[derive(Clone, Debug, Default)]
struct Config {
    alpha: Option<f32>,
    /// Ends of layers' names, with alphas of their own.
    alphas: Vec<(String, f32)>,
    /// PEFT's rank, which factors that are whole do not show.
    rank: Option<usize>,
    rank_stabilized: bool,
}

/// What is known of a layer's scale besides its tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    /// What is divided by the rank.
    pub(super) alpha: Option<f32>,
    /// The rank, for factors that do not show it.
    pub(super) rank: Option<usize>,
    /// The scale is `alpha / sqrt(rank)`.
    pub(super) rank_stabilized: bool,
}

impl Config {
    fn of_json(json: &Json) -> Self {
        let alpha = |json: &Json| json.as_f64().map(|alpha| alpha as f32);
        let pattern = json["alpha_pattern"].as_object();
        let alphas = pattern
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.trim_start_matches('^').to_owned(), alpha(value)?)))
            .collect();
        Self {
            // LoHa and LoKr of PEFT have the short name.
            alpha: alpha(&json["lora_alpha"]).or_else(|| alpha(&json["alpha"])),
            alphas,
            rank: json["r"].as_u64().and_then(|rank| usize::try_from(rank).ok()),
            rank_stabilized: json["use_rslora"].as_bool().unwrap_or(false),
        }
    }
}

impl Defaults {
    pub(super) fn of_alpha(alpha: Option<f32>) -> Self {
        Self(vec![(String::new(), Config { alpha, ..Config::default() })])
    }

    /// `adapter_config.json` beside the file, of a folder that PEFT has saved.
    pub(super) fn beside(path: &Path) -> Result<Option<Self>, WeightsError> {
        if path.file_name().is_none_or(|name| name != "adapter_model.safetensors") {
            return Ok(None);
        }
        let config = path.with_file_name(ADAPTER_CONFIG);
        if !config.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&config)
            .map_err(|source| WeightsError::Read { path: config.clone(), source })?;
        let json: Json = serde_json::from_str(&text)
            .map_err(|error| WeightsError::Index { path: config, reason: error.to_string() })?;
        Ok(Some(Self(vec![(String::new(), Config::of_json(&json))])))
    }

    /// Diffusers' metadata: one object whose names start with that of a network, `unet.lora_alpha`. Metadata of other tools
    /// says nothing that is not in their tensors too.
    pub(super) fn of_metadata(metadata: &BTreeMap<String, String>) -> Self {
        let entry = metadata.get(ADAPTER_ENTRY).and_then(|text| serde_json::from_str::<Json>(text).ok());
        let Some(Json::Object(all)) = entry else { return Self::default() };
        let mut networks: BTreeMap<String, serde_json::Map<String, Json>> = BTreeMap::new();
        for (name, value) in all {
            let (network, field) = name.split_once('.').unwrap_or(("", &name));
            networks.entry(network.to_owned()).or_default().insert(field.to_owned(), value);
        }
        let configs = networks.into_iter().map(|(network, fields)| {
            let prefix = if network.is_empty() { network } else { format!("{network}.") };
            (prefix, Config::of_json(&Json::Object(fields)))
        });
        Self(configs.collect())
    }

    /// The scale of a layer.
    pub(super) fn of(&self, layer: &str) -> Scale {
        let Some((_, config)) = self.0.iter().rev().find(|(prefix, _)| layer.starts_with(prefix.as_str()))
        else {
            return Scale::default();
        };
        let own = config.alphas.iter().find(|(end, _)| layer == end || layer.ends_with(&format!(".{end}")));
        Scale {
            alpha: own.map(|(_, alpha)| *alpha).or(config.alpha),
            rank: config.rank,
            rank_stabilized: config.rank_stabilized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphas_are_those_of_the_network_and_layer() {
        let text = r#"{"unet.lora_alpha": 8, "unet.alpha_pattern": {"mid_block.a.to_q": 2, "^conv": 3},
            "text_encoder.lora_alpha": 4.0, "text_encoder.use_rslora": true}"#;
        let metadata = BTreeMap::from([(ADAPTER_ENTRY.to_owned(), text.to_owned())]);
        let defaults = Defaults::of_metadata(&metadata);
        let of = |layer: &str| (defaults.of(layer).alpha, defaults.of(layer).rank_stabilized);
        assert_eq!(of("unet.down.to_q"), (Some(8.0), false));
        assert_eq!(of("unet.mid_block.a.to_q"), (Some(2.0), false));
        assert_eq!(of("unet.conv"), (Some(3.0), false));
        assert_eq!(of("text_encoder.a"), (Some(4.0), true));
        assert_eq!(of("text_encoder_2.a"), (None, false));
        for broken in ["", "[]", "{", r#"{"unet.lora_alpha": "x"}"#] {
            let metadata = BTreeMap::from([(ADAPTER_ENTRY.to_owned(), broken.to_owned())]);
            assert_eq!(Defaults::of_metadata(&metadata).of("unet.a"), Scale::default(), "{broken}");
        }
        assert_eq!(Defaults::of_alpha(Some(1.0)).of("anything").alpha, Some(1.0));
    }
}
