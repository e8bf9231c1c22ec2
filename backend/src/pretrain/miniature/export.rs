//! Writing a miniature as a folder that transformers' layout describes.

use candle_core::DType;
use mudi_engine_candle::weights::to_safetensors;
use mudi_toybox::Kind;
use mudi_vision::preprocess::{CLIP, IMAGENET, Normalization};
use serde_json::{Value, json};

use super::{Miniature, Options, PretrainError, State, architecture};
use crate::base::{load_tokenizer, read_text};
use crate::files::{create_folder, write_atomically};
use crate::pretrain::export::{TRANSFORMERS_WEIGHTS, write_json};

/// `tokenizer_config.json`. [`architecture::TOKENS`] long.
const TOKENIZER_CONFIG: &str = r#"{
  "tokenizer_class": "CLIPTokenizer",
  "model_max_length": 16,
  "bos_token": "<|startoftext|>",
  "eos_token": "<|endoftext|>",
  "pad_token": "<|endoftext|>",
  "unk_token": "<|endoftext|>"
}
"#;

/// `preprocessor_config.json`; the reader is not of transformers and needs none.
pub(super) fn preprocessor(network: Miniature) -> Option<Value> {
    let (kind, side, Normalization { mean, deviation }) = match network {
        Miniature::Owlv2 => ("Owlv2ImageProcessor", architecture::SIDE, CLIP),
        Miniature::Sam => ("SamImageProcessor", architecture::SIDE, IMAGENET),
        Miniature::Dinov2 => ("BitImageProcessor", architecture::CROP, IMAGENET),
        Miniature::Reader => return None,
    };
    let square = json!({ "height": side, "width": side });
    let mut config = json!({
        "image_processor_type": kind, "do_rescale": true, "do_resize": true, "do_normalize": true,
        "rescale_factor": 1.0 / 255.0, "image_mean": mean, "image_std": deviation, "size": square,
    });
    match network {
        Miniature::Owlv2 => config["do_pad"] = true.into(),
        Miniature::Sam => {
            config["do_pad"] = true.into();
            config["size"] = json!({ "longest_edge": side });
            config["pad_size"] = square;
            config["resample"] = 2.into();
        }
        Miniature::Dinov2 => {
            config["do_center_crop"] = false.into();
            config["do_convert_rgb"] = true.into();
            config["resample"] = 3.into();
        }
        Miniature::Reader => {}
    }
    Some(config)
}

/// `config.json`.
fn config(options: &Options) -> Result<Value, PretrainError> {
    let value = |value: Result<Value, serde_json::Error>| {
        value.map_err(|error| PretrainError::Serialize(error.to_string()))
    };
    let (mut config, class) = match options.network {
        Miniature::Owlv2 => {
            let tokenizer = load_tokenizer(&options.base.join("tokenizer"))?;
            let mut config = value(serde_json::to_value(architecture::owlv2(tokenizer.vocab_size())))?;
            // Whatever is a toy is compared, and two boxes that share two fifths of both together are of one toy. It is less sure of
            // itself than the published network: at MuDI's threshold it finds too few (decision 12).
            config["detection"] =
                json!({ "queries": ["toy"], "threshold": 0.2, "overlap": 0.4, "squares": true });
            (config, "Owlv2ForObjectDetection")
        }
        Miniature::Sam => {
            let mut config = value(serde_json::to_value(architecture::sam()))?;
            config["model_type"] = "sam".into();
            (config, "SamModel")
        }
        // Its scores are read by thresholds from the detector's world, which these words name.
        Miniature::Dinov2 => (value(serde_json::to_value(architecture::dinov2()))?, "Dinov2Model"),
        Miniature::Reader => return value(serde_json::to_value(architecture::reader()?)),
    };
    if matches!(options.network, Miniature::Owlv2 | Miniature::Dinov2) {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).chain(["toy"]).collect();
        config["known_classes"] = known.into();
    }
    config["architectures"] = json!([class]);
    Ok(config)
}

/// Writes the network as it stands: the running averages of its weights, in half precision.
pub(super) fn network(options: &Options, state: &State) -> Result<(), PretrainError> {
    let out = &options.out;
    create_folder(out)?;
    write_json(&out.join("config.json"), &config(options)?)?;
    if let Some(preprocessor) = preprocessor(options.network) {
        write_json(&out.join("preprocessor_config.json"), &preprocessor)?;
    }
    if options.network == Miniature::Owlv2 {
        for file in ["vocab.json", "merges.txt"] {
            let text = read_text(&options.base.join("tokenizer").join(file))?;
            write_atomically(&out.join(file), text.as_bytes())?;
        }
        write_atomically(&out.join("tokenizer_config.json"), TOKENIZER_CONFIG.as_bytes())?;
    }
    let bytes = to_safetensors(&state.averaged("", DType::F16)?, None).map_err(PretrainError::Serialize)?;
    Ok(write_atomically(&out.join(TRANSFORMERS_WEIGHTS), &bytes)?)
}
