//! The scales that a LoRA's file keeps outside of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use super::LoraError;
use super::pattern::{Fault, Loose, Pattern};
use crate::weights::WeightsError;

/// The entry of a file's metadata in which diffusers keeps PEFT's configurations.
pub const ADAPTER_ENTRY: &str = "lora_adapter_metadata";

/// What PEFT calls its weights, and its configuration beside them.
pub(super) const ADAPTER_MODEL: &str = "adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Starts of training of PEFT's that take from the base's weights what the factors begin with: on the weights as they are, the file
/// means something else.
const CHANGING: [&str; 4] = ["pissa", "olora", "corda", "loftq"];

/// Alphas by layer: one configuration for each network, found by what a layer's name starts with.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults(Vec<(String, Config)>);

#[derive(Clone, Debug, Default)]
struct Config {
    alpha: Option<f32>,
    /// Layers with alphas of their own; the first that fits counts.
    alphas: Vec<(Pattern, f64)>,
    /// PEFT's rank, which factors that are whole do not show.
    rank: Option<usize>,
    /// Layers with ranks of their own.
    ranks: Vec<(Pattern, f64)>,
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
    fn of(fields: &[(String, Loose)]) -> Result<Self, Fault> {
        let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        let number = |name: &str| field(name).and_then(Loose::number);
        let patterns = |name: &str| -> Result<Vec<(Pattern, f64)>, Fault> {
            let Some(Loose::Map(entries)) = field(name) else { return Ok(Vec::new()) };
            let numbers = entries.iter().filter_map(|(pattern, value)| Some((pattern, value.number()?)));
            numbers.map(|(pattern, value)| Ok((Pattern::new(pattern)?, value))).collect()
        };
        if let Some(Loose::Text(start)) = field("init_lora_weights")
            && CHANGING.iter().any(|known| start.to_ascii_lowercase().starts_with(known))
        {
            return Err(Fault::Start(start.clone()));
        }
        Ok(Self {
            // LoHa and LoKr of PEFT have the short name.
            alpha: number("lora_alpha").or_else(|| number("alpha")).map(|alpha| alpha as f32),
            alphas: patterns("alpha_pattern")?,
            rank: number("r").map(|rank| rank as usize),
            ranks: patterns("rank_pattern")?,
            rank_stabilized: matches!(field("use_rslora"), Some(Loose::Bool(true))),
        })
    }
}

impl Defaults {
    pub(super) fn of_alpha(alpha: Option<f32>) -> Self {
        Self(vec![(String::new(), Config { alpha, ..Config::default() })])
    }

    /// `adapter_config.json` beside the file, of a folder that PEFT has saved.
    pub(super) fn beside(path: &Path) -> Result<Option<Self>, LoraError> {
        if path.file_name().is_none_or(|name| name != ADAPTER_MODEL) {
            return Ok(None);
        }
        let config = path.with_file_name(ADAPTER_CONFIG);
        if !config.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&config)
            .map_err(|source| WeightsError::Read { path: config.clone(), source })?;
        let json: Loose = serde_json::from_str(&text)
            .map_err(|error| WeightsError::Index { path: config.clone(), reason: error.to_string() })?;
        let fields = if let Loose::Map(fields) = json { fields } else { Vec::new() };
        let own = Config::of(&fields).map_err(|fault| fault.of(&config))?;
        Ok(Some(Self(vec![(String::new(), own)])))
    }

    /// Diffusers' metadata: one object whose names start with that of a network, `unet.lora_alpha`. Metadata of other tools
    /// says nothing that is not in their tensors too.
    pub(super) fn of_metadata(path: &Path, metadata: &BTreeMap<String, String>) -> Result<Self, LoraError> {
        let entry = metadata.get(ADAPTER_ENTRY).and_then(|text| serde_json::from_str::<Loose>(text).ok());
        let Some(Loose::Map(all)) = entry else { return Ok(Self::default()) };
        let mut networks: BTreeMap<String, Vec<(String, Loose)>> = BTreeMap::new();
        for (name, value) in all {
            let (network, field) = name.split_once('.').unwrap_or(("", &name));
            networks.entry(network.to_owned()).or_default().push((field.to_owned(), value));
        }
        let configs = networks.into_iter().map(|(network, fields)| {
            let prefix = if network.is_empty() { network } else { format!("{network}.") };
            Ok((prefix, Config::of(&fields).map_err(|fault| fault.of(path))?))
        });
        Ok(Self(configs.collect::<Result<_, LoraError>>()?))
    }

    /// The scale of a layer.
    pub(super) fn of(&self, layer: &str) -> Scale {
        let own =
            self.0.iter().rev().find_map(|(prefix, config)| Some((layer.strip_prefix(prefix)?, config)));
        let Some((layer, config)) = own else { return Scale::default() };
        // PEFT asks by the names that layers have in the network.
        let layer = layer.strip_prefix("base_model.model.").unwrap_or(layer);
        let first = |patterns: &[(Pattern, f64)]| {
            patterns.iter().find(|(pattern, _)| pattern.fits(layer)).map(|(_, value)| *value)
        };
        Scale {
            alpha: first(&config.alphas).map(|alpha| alpha as f32).or(config.alpha),
            rank: first(&config.ranks).map(|rank| rank as usize).or(config.rank),
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
        let of_metadata =
            |metadata: &BTreeMap<String, String>| Defaults::of_metadata(Path::new("a.safetensors"), metadata);
        let defaults = of_metadata(&metadata).unwrap();
        let of = |layer: &str| (defaults.of(layer).alpha, defaults.of(layer).rank_stabilized);
        assert_eq!(of("unet.down.to_q"), (Some(8.0), false));
        assert_eq!(of("unet.mid_block.a.to_q"), (Some(2.0), false));
        assert_eq!(of("unet.conv"), (Some(3.0), false));
        assert_eq!(of("text_encoder.a"), (Some(4.0), true));
        assert_eq!(of("text_encoder_2.a"), (None, false));
        for broken in ["", "[]", "{", r#"{"unet.lora_alpha": "x"}"#] {
            let metadata = BTreeMap::from([(ADAPTER_ENTRY.to_owned(), broken.to_owned())]);
            assert_eq!(of_metadata(&metadata).unwrap().of("unet.a"), Scale::default(), "{broken}");
        }
        assert_eq!(Defaults::of_alpha(Some(1.0)).of("anything").alpha, Some(1.0));
    }

    #[test]
    fn factors_that_were_taken_out_of_the_base_are_refused() {
        let read = |start: &str| {
            let text = format!(r#"{{"unet.lora_alpha": 8, "unet.init_lora_weights": {start}}}"#);
            let metadata = BTreeMap::from([(ADAPTER_ENTRY.to_owned(), text)]);
            Defaults::of_metadata(Path::new("a.safetensors"), &metadata).map_err(|error| error.to_string())
        };
        for start in ["true", "false", "null", r#""gaussian""#, r#""orthogonal""#] {
            assert_eq!(read(start).unwrap().of("unet.a").alpha, Some(8.0), "{start}");
        }
        for start in [r#""pissa_niter_16""#, r#""olora""#] {
            let error = read(start).unwrap_err();
            assert!(error.contains("a.safetensors") && error.contains(start.trim_matches('"')), "{error}");
        }
    }

    /// As PEFT's `get_pattern_key` finds them.
    #[test]
    fn patterns_are_asked_in_the_order_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(ADAPTER_CONFIG);
        let file = folder.path().join("adapter_model.safetensors");
        let text = r#"{"r": 4, "lora_alpha": 8, "rank_pattern": {"mid_block.a.to_v": 2},
            "alpha_pattern": {"up_blocks.*to_q": 1, "a.to_q": 2, "^mid_block.a.to_k": 3, "to_[kv]": 4, "b|c": 5}}"#;
        std::fs::write(&config, text).unwrap();
        let defaults = Defaults::beside(&file).unwrap().unwrap();
        for (layer, alpha, rank) in [
            ("up_blocks.1.a.to_q", 1.0, 4),
            ("mid_block.a.to_q", 2.0, 4),
            ("mid_block.a.to_k", 3.0, 4),
            ("up_blocks.1.mid_block.a.to_k", 4.0, 4),
            ("mid_block.a.to_v", 4.0, 2),
            ("mid_block.c", 5.0, 4),
            // Not the whole of the last names.
            ("mid_block.xa.to_q", 8.0, 4),
            ("mid_block.a.to_q.more", 8.0, 4),
            ("mid_block.bc", 8.0, 4),
        ] {
            for name in [layer.to_owned(), format!("base_model.model.{layer}")] {
                let found = defaults.of(&name);
                assert_eq!((found.alpha, found.rank), (Some(alpha), Some(rank)), "{name}");
            }
        }
        std::fs::write(&config, r#"{"lora_alpha": 8, "alpha_pattern": {"a(?!b)": 1}}"#).unwrap();
        let error = Defaults::beside(&file).unwrap_err().to_string();
        assert!(error.contains(ADAPTER_CONFIG) && error.contains("`a(?!b)`"), "{error}");
    }
}
