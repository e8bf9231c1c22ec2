//! `mudi forward` for networks that see; tensors are named as transformers names its arguments and results.

use std::path::Path;

use candle_core::Tensor as Value;
use mudi::base::{load_network, read_config};
use mudi::vision::load_dreamsim;
use mudi_engine_candle::weights::{NamedTensors, Precision};
use mudi_engine_candle::{CandleEngine, Tensor};
use mudi_vision::dino::{Dinov2, class_state, mean_state};
use mudi_vision::dreamsim::DreamSimConfig;
use mudi_vision::owl::{Owl, Proposals};
use mudi_vision::preprocess::Pixels;

use super::super::Failure;
use super::Inputs;

/// `pixel_values` to `last_hidden_state`, `pooler_output` (the class token) and `mean` (over all tokens).
pub(super) fn dinov2(folder: &Path, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let config = read_config(folder)?;
    let network =
        load_network(&engine, folder, Precision::Single, |parameters| Dinov2::new(config, parameters))?;
    let states = network.forward(&engine, &inputs.image("pixel_values")?)?;
    Ok(NamedTensors::from([
        ("pooler_output".to_owned(), class_state(&engine, &states)?.value().clone()),
        ("mean".to_owned(), mean_state(&engine, &states)?.value().clone()),
        ("last_hidden_state".to_owned(), states.value().clone()),
    ]))
}

/// `pixel_values`, 0 to 1 and not normalized, to `embeds`.
pub(super) fn dreamsim(folder: &Path, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let config =
        if folder.join("config.json").exists() { read_config(folder)? } else { DreamSimConfig::default() };
    let network = load_dreamsim(&engine, folder, &config)?;
    let pixels = inputs.image("pixel_values")?;
    let &[_, height, width, 3] = pixels.value().dims() else {
        return Err(format!("{}: `pixel_values` must have three channels", inputs.path.display()).into());
    };
    let values: Vec<f32> = pixels.value().flatten_all()?.to_vec1()?;
    let images: Vec<Pixels> = values
        .chunks((height * width * 3).max(1))
        .map(|values| Pixels { height, width, values: values.to_vec() })
        .collect();
    let embeds = network.embed(&engine, &images)?.value().clone();
    Ok(NamedTensors::from([("embeds".to_owned(), embeds)]))
}

/// `pixel_values` of `B` images and `input_ids` of `B * Q` texts, `Q` for each, to `logits`, `objectness_logits` and
/// `pred_boxes`.
pub(super) fn owlv2(folder: &Path, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let engine = CandleEngine::cpu();
    let config = read_config(folder)?;
    let network =
        load_network(&engine, folder, Precision::Single, |parameters| Owl::new(config, parameters))?;
    let pixels = inputs.image("pixel_values")?;
    let batch = pixels.value().dims()[0];
    let ids = inputs.get("input_ids")?;
    let texts = match ids.dims() {
        &[texts, _] if batch > 0 && texts > 0 && texts.is_multiple_of(batch) => texts,
        shape => {
            let file = inputs.path.display();
            return Err(format!(
                "{file}: `input_ids` has shape {shape:?}; expected [B * Q, tokens] for {batch} images"
            )
            .into());
        }
    };
    let ids: Vec<u32> = inputs.values("input_ids")?.iter().map(|&id| id as u32).collect();
    let (queries, length) = (texts / batch, ids.len() / texts);
    let (mut logits, mut objectness, mut boxes) = (Vec::new(), Vec::new(), Vec::new());
    for (index, ids) in ids.chunks(queries * length).enumerate() {
        let image = Tensor::constant(pixels.value().narrow(0, index, 1)?.contiguous()?);
        let texts = network.encode_texts(&engine, ids, queries)?;
        for proposals in Proposals::of(&engine, &network.forward(&engine, &image, &texts)?)? {
            logits.extend(proposals.logits);
            objectness.extend(proposals.objectness_logits);
            boxes.extend(proposals.boxes.concat());
        }
    }
    let patches = objectness.len() / batch;
    let value = |values: Vec<f32>, shape: &[usize]| Value::from_vec(values, shape, engine.device());
    Ok(NamedTensors::from([
        ("logits".to_owned(), value(logits, &[batch, patches, queries])?),
        ("objectness_logits".to_owned(), value(objectness, &[batch, patches])?),
        ("pred_boxes".to_owned(), value(boxes, &[batch, patches, 4])?),
    ]))
}
