//! UNets with random weights, in sizes that no model in this repository has.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mudi_diffusion::ParameterKind;
use mudi_diffusion::unet::{UNet, UNetConfig};
use mudi_domain::rng;
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::shapes::Shapes;
use serde_json::{Value, json};

use super::BenchError;
use crate::files::{WriteError, create_folder, write_atomically};

/// A network that is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// 51 million parameters.
    Medium,
    /// SDXL's UNet, 2.57 billion parameters.
    Sdxl,
}

impl Network {
    fn folder(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::Sdxl => "sdxl",
        }
    }

    fn config(self) -> Value {
        let own = match self {
            Self::Medium => json!({
                "block_out_channels": [96, 192, 288],
                "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                "attention_head_dim": [2, 4, 6], "transformer_layers_per_block": [1, 1, 2],
                "cross_attention_dim": 768, "addition_time_embed_dim": 64,
                "projection_class_embeddings_input_dim": 768 + 6 * 64, "sample_size": 32,
            }),
            Self::Sdxl => json!({
                "block_out_channels": [320, 640, 1280],
                "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
                "attention_head_dim": [5, 10, 20], "transformer_layers_per_block": [1, 2, 10],
                "cross_attention_dim": 2048, "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816, "sample_size": 128,
            }),
        };
        let mut all = json!({
            "_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
            "mid_block_type": "UNetMidBlock2DCrossAttn", "use_linear_projection": true,
            "addition_embed_type": "text_time",
        });
        if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
            all.extend(own);
        }
        all
    }
}

/// Writes `config.json` and bf16 weights of `network` below `scratch`, unless they are there; returns the model's folder.
///
/// # Errors
/// [`BenchError`].
pub(super) fn random(network: Network, scratch: &Path) -> Result<PathBuf, BenchError> {
    let base = scratch.join(network.folder());
    let folder = base.join("unet");
    let weights = folder.join("diffusion_pytorch_model.safetensors");
    if weights.is_file() {
        return Ok(base);
    }
    create_folder(&folder)?;
    let config = network.config();
    write_atomically(&folder.join("config.json"), config.to_string().as_bytes())?;
    let config: UNetConfig =
        serde_json::from_value(config).map_err(|error| mudi_diffusion::Error::Config(error.to_string()))?;
    let mut shapes = Shapes::default();
    UNet::<CandleEngine>::new(config, &mut shapes)?;
    let partial = weights.with_extension("partial");
    let write = |source| WriteError { path: partial.clone(), source };
    write_random(&partial, &shapes).map_err(write)?;
    std::fs::rename(&partial, &weights).map_err(write)?;
    Ok(base)
}

/// Mean and standard deviation of a random weight of that shape, in the engine's layout.
pub(super) fn drawn_from(shape: &[usize], kind: ParameterKind) -> (f32, f32) {
    match kind {
        ParameterKind::NormScale => (1.0, 0.0),
        ParameterKind::NormShift | ParameterKind::Bias { .. } => (0.0, 0.0),
        _ => (0.0, 1.0 / (shape.iter().skip(1).product::<usize>() as f32).sqrt()),
    }
}

/// A safetensors file of random bf16 weights, written piece by piece: all of them need not fit in memory.
fn write_random(path: &Path, shapes: &Shapes) -> std::io::Result<()> {
    let mut header = serde_json::Map::new();
    let mut offset = 0;
    for shape in &shapes.made {
        let end = offset + 2 * shape.elements();
        header.insert(
            shape.name.clone(),
            json!({"dtype": "BF16", "shape": shape.in_file(), "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for shape in &shapes.made {
        let (mean, spread) = drawn_from(&shape.shape, shape.kind);
        // A short row of random numbers, over and over: drawing billions would take minutes.
        const PERIOD: usize = 65_521;
        let drawn = rng::normal(&mut rng::stream(0, &shape.name, 0), PERIOD.min(shape.elements()));
        let bytes: Vec<u8> = drawn
            .iter()
            .flat_map(|value| (((mean + spread * value).to_bits() >> 16) as u16).to_le_bytes())
            .collect();
        let mut left = 2 * shape.elements();
        while left > 0 {
            let count = left.min(bytes.len());
            file.write_all(&bytes[..count])?;
            left -= count;
        }
    }
    file.flush()
}
