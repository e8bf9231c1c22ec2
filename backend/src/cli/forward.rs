//! `mudi forward`: one network on given tensors, to hold it against a reference.

mod lora_step;
mod sam;
mod vision;

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Tensor as Value};
use clap::ValueEnum;
use mudi::base::{Source, Vae};
use mudi::files::{check_file, is_same, write_atomically};
use mudi::plan::peak_memory;
use mudi_diffusion::Component;
use mudi_diffusion::clip::ClipText;
use mudi_diffusion::unet::{AddedConditioning, UNet, UNetInput};
use mudi_engine_candle::weights::{NamedTensors, Precision, read_safetensors, to_safetensors};
use mudi_engine_candle::{CandleEngine, Tensor, nchw};

use super::base::Changes;
use super::{Failure, print};

/// Run one network on the tensors of a file, named as diffusers and transformers name their arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Base model: a folder in diffusers' layout, a checkpoint file, or the name of one in `models`, as `pocket`; of networks that see, the folder with their
    /// weights.
    #[arg(long)]
    base: PathBuf,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    steps: lora_step::Steps,
    /// The network.
    #[arg(long)]
    network: Network,
    /// Safetensors file with the inputs: `sample`, `timestep`, `encoder_hidden_states`, `text_embeds`, `time_ids`,
    /// `input_ids`; of networks that see `pixel_values`; of SAM's decoder `image_embeddings`, `input_points`, `input_labels`,
    /// `input_boxes`, `input_masks` and `multimask_output`; of `lora_step` `target` and the factors besides those of the UNet.
    #[arg(long)]
    inputs: PathBuf,
    /// Safetensors file to write: `sample` (and `logvar` of the encoder), or `hidden_states`, `last_hidden_state` and
    /// `text_embeds`; of SAM `last_hidden_state`, or `pred_masks` and `iou_scores`; `last_hidden_state`, `pooler_output` and `mean`
    /// of `dinov2`; `loss`, gradients and factors of `lora_step`; `logits`, `objectness_logits` and `pred_boxes` of `owlv2`; `embeds` of `dreamsim`, whose `pixel_values` are 0 to 1.
    #[arg(long)]
    out: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Network {
    Unet,
    TextEncoder,
    #[value(name = "text_encoder_2")]
    TextEncoder2,
    VaeEncoder,
    VaeDecoder,
    SamImageEncoder,
    SamMaskDecoder,
    Dinov2,
    Owlv2,
    Dreamsim,
    /// Training steps of a LoRA on the UNet.
    LoraStep,
}

struct Inputs {
    path: PathBuf,
    tensors: NamedTensors,
}

impl Inputs {
    fn optional(&self, name: &str) -> Result<Option<Value>, Failure> {
        Ok(self.tensors.get(name).map(|value| value.to_dtype(DType::F32)).transpose()?)
    }

    fn get(&self, name: &str) -> Result<Value, Failure> {
        self.optional(name)?
            .ok_or_else(|| format!("{}: the tensor `{name}` is missing; add it", self.path.display()).into())
    }

    /// Four axes, `[B, C, H, W]`.
    fn image(&self, name: &str) -> Result<Tensor, Failure> {
        let value = self.get(name)?;
        if value.rank() != 4 {
            let shape = value.dims();
            return Err(format!(
                "{}: `{name}` has shape {shape:?}; expected [B, C, H, W]",
                self.path.display()
            )
            .into());
        }
        Ok(nchw::to_channels_last(&value)?)
    }

    /// All values, of any shape.
    fn values(&self, name: &str) -> Result<Vec<f32>, Failure> {
        Ok(self.get(name)?.flatten_all()?.to_vec1()?)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let base = super::model_path(&arguments.base)?;
    check_file(&arguments.out)?;
    if is_same(&arguments.inputs, &arguments.out) {
        let out = arguments.out.display();
        return Err(format!("{out}: these are the inputs; name another file as --out").into());
    }
    let inputs = Inputs { path: arguments.inputs.clone(), tensors: read_safetensors(&arguments.inputs)? };
    let source = || arguments.changes.source(&arguments.base, None);
    let outputs = match arguments.network {
        Network::Unet => unet(&source()?, &inputs)?,
        Network::TextEncoder => text_encoder(&source()?, Component::TextEncoder, &inputs)?,
        Network::TextEncoder2 => text_encoder(&source()?, Component::TextEncoder2, &inputs)?,
        Network::VaeEncoder => vae_encoder(&source()?, &inputs)?,
        Network::VaeDecoder => vae_decoder(&source()?, &inputs)?,
        Network::SamImageEncoder => sam::image_encoder(&base, &inputs)?,
        Network::SamMaskDecoder => sam::mask_decoder(&base, &inputs)?,
        Network::Dinov2 => vision::dinov2(&base, &inputs)?,
        Network::Owlv2 => vision::owlv2(&base, &inputs)?,
        Network::Dreamsim => vision::dreamsim(&base, &inputs)?,
        Network::LoraStep => lora_step::lora_step(&source()?, &inputs, &arguments.steps)?,
    };
    write_atomically(&arguments.out, &to_safetensors(&outputs, None)?)?;
    let shapes: BTreeMap<&str, &[usize]> =
        outputs.iter().map(|(name, value)| (name.as_str(), value.dims())).collect();
    let out = arguments.out.display().to_string();
    let object = serde_json::json!({ "out": out, "tensors": shapes, "peak_memory_bytes": peak_memory() });
    let text = format!("{} tensors are in {out}.", outputs.len());
    print(arguments.json, &object, &text)
}

fn unet(source: &Source, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let config = source.unet_config()?;
    let unet = source
        .load(&engine, Component::Unet, Precision::Single, |parameters| UNet::new(config, parameters))?;
    let input = denoiser_input(inputs, 0.0)?;
    let output = nchw::to_channels_first(&unet.forward(&engine, &input)?)?;
    Ok(NamedTensors::from([("sample".to_owned(), output)]))
}

/// What the UNet is given, by the names of diffusers.
fn denoiser_input(inputs: &Inputs, lora_scale: f32) -> Result<UNetInput<CandleEngine>, Failure> {
    let sample = inputs.image("sample")?;
    let batch = sample.value().dims()[0];
    let mut timesteps = inputs.values("timestep")?;
    if timesteps.len() == 1 {
        timesteps = timesteps.repeat(batch);
    }
    let added = match inputs.optional("text_embeds")? {
        Some(text_embeds) => Some(AddedConditioning {
            text_embeds: Tensor::constant(text_embeds),
            time_ids: inputs.values("time_ids")?,
        }),
        None => None,
    };
    let states = Tensor::constant(inputs.get("encoder_hidden_states")?);
    Ok(UNetInput { sample, timesteps, encoder_hidden_states: states, added, lora_scale })
}

fn text_encoder(source: &Source, component: Component, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let index = usize::from(component == Component::TextEncoder2);
    let config = source.text_configs()?.into_iter().nth(index);
    let config =
        config.ok_or_else(|| format!("{}: this base has no {component}", source.path().display()))?;
    let encoder =
        source.load(&engine, component, Precision::Single, |parameters| ClipText::new(config, parameters))?;
    let shape = inputs.get("input_ids")?.dims().to_vec();
    let batch = if shape.len() == 2 { shape[0] } else { 1 };
    let ids: Vec<u32> = inputs.values("input_ids")?.iter().map(|&id| id as u32).collect();
    let text = encoder.forward(&engine, &ids, batch)?;
    let mut outputs = NamedTensors::from([
        ("hidden_states".to_owned(), text.penultimate.value().clone()),
        ("last_hidden_state".to_owned(), text.last.value().clone()),
    ]);
    if let Some(pooled) = text.pooled {
        outputs.insert("text_embeds".to_owned(), pooled.value().clone());
    }
    Ok(outputs)
}

fn vae_encoder(source: &Source, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let vae = Vae::load(&engine, source, Precision::Single)?;
    let moments = nchw::to_channels_first(&vae.encoder.forward(&engine, &inputs.image("sample")?)?)?;
    let channels = vae.config.latent_channels;
    Ok(NamedTensors::from([
        ("sample".to_owned(), moments.narrow(1, 0, channels)?.contiguous()?),
        ("logvar".to_owned(), moments.narrow(1, channels, channels)?.contiguous()?),
    ]))
}

fn vae_decoder(source: &Source, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let vae = Vae::load(&engine, source, Precision::Single)?;
    let image = nchw::to_channels_first(&vae.decoder.forward(&engine, &inputs.image("sample")?)?)?;
    Ok(NamedTensors::from([("sample".to_owned(), image)]))
}
