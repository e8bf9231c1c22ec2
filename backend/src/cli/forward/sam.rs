//! The networks of Segment Anything, with the tensors that transformers' `SamModel` takes and gives.

use std::path::Path;

use candle_core::Tensor as Value;
use mudi::segment::Segmenter;
use mudi_diffusion::Engine;
use mudi_engine_candle::nchw;
use mudi_engine_candle::weights::NamedTensors;
use mudi_vision::sam::{Point, Prompt};

use super::Inputs;
use crate::cli::Failure;

/// `pixel_values [B, 3, S, S]` to `last_hidden_state [B, C, grid, grid]`.
pub(super) fn image_encoder(folder: &Path, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let Segmenter { engine, sam } = Segmenter::load(folder)?;
    let embedding = sam.embed(&engine, &inputs.image("pixel_values")?)?;
    Ok(NamedTensors::from([("last_hidden_state".to_owned(), nchw::to_channels_first(&embedding)?)]))
}

/// `image_embeddings [1, C, grid, grid]` and prompts to `pred_masks [1, P, masks, S, S]` and `iou_scores [1, P, masks]`, for
/// `input_points [1, P, N, 2]` with `input_labels [1, P, N]`, `input_boxes [1, P, 4]`, `input_masks [1, 1, S, S]`.
pub(super) fn mask_decoder(folder: &Path, inputs: &Inputs) -> Result<NamedTensors, Failure> {
    let Segmenter { engine, sam } = Segmenter::load(folder)?;
    let embedding = inputs.image("image_embeddings")?;
    if embedding.value().dims()[0] != 1 {
        return Err(
            "`image_embeddings`: give one image; several prompts in it are one more axis of theirs".into()
        );
    }
    let prompts = prompts(inputs)?;
    let several = match inputs.optional("multimask_output")? {
        Some(flag) => flag.flatten_all()?.to_vec1::<f32>()?.first().is_none_or(|&flag| flag != 0.0),
        None => true,
    };
    let mut embeddings = embedding.clone();
    for _ in 1..prompts.len() {
        embeddings = engine.concat(&embeddings, &embedding, 0)?;
    }
    let found = sam.predict(&engine, &embeddings, &prompts, several)?;
    Ok(NamedTensors::from([
        ("pred_masks".to_owned(), found.logits.value().unsqueeze(0)?),
        ("iou_scores".to_owned(), found.ious.value().unsqueeze(0)?),
    ]))
}

/// The parts of one kind of prompt: for each prompt its values, `each` in number where that is known.
fn parts(inputs: &Inputs, name: &str, rank: usize) -> Result<Option<Vec<Vec<f32>>>, Failure> {
    let Some(value) = inputs.optional(name)? else { return Ok(None) };
    let dims = value.dims().to_vec();
    if dims.len() != rank || dims[0] != 1 {
        let path = inputs.path.display();
        return Err(format!(
            "{path}: `{name}` has shape {dims:?}; expected {rank} axes, the first of length 1"
        )
        .into());
    }
    let rows = |value: &Value| value.flatten_all()?.to_vec1::<f32>();
    let prompts = (0..dims[1]).map(|prompt| rows(&value.get(0)?.get(prompt)?));
    Ok(Some(prompts.collect::<candle_core::Result<_>>()?))
}

fn prompts(inputs: &Inputs) -> Result<Vec<Prompt>, Failure> {
    let points = parts(inputs, "input_points", 4)?;
    let labels = parts(inputs, "input_labels", 3)?;
    let boxes = parts(inputs, "input_boxes", 3)?;
    let masks = parts(inputs, "input_masks", 4)?;
    let count = [&points, &boxes, &masks].into_iter().flatten().map(Vec::len).max().unwrap_or(0);
    let wrong = |name: &str| -> Failure {
        format!("{}: `{name}` does not fit the other prompts", inputs.path.display()).into()
    };
    (0..count)
        .map(|index| {
            let mut prompt = Prompt::default();
            if let Some(points) = &points {
                let places = points.get(index).ok_or_else(|| wrong("input_points"))?;
                let labels = labels.as_ref().and_then(|labels| labels.get(index));
                let labels = labels.filter(|labels| 2 * labels.len() == places.len());
                let labels = labels.ok_or_else(|| wrong("input_labels"))?;
                let pairs = places.chunks_exact(2).zip(labels);
                prompt.points = pairs
                    .map(|(place, &label)| Point { x: place[0], y: place[1], on_subject: label == 1.0 })
                    .collect();
            }
            if let Some(boxes) = &boxes {
                let corners =
                    boxes.get(index).and_then(|corners| <[f32; 4]>::try_from(corners.as_slice()).ok());
                prompt.bounds = Some(corners.ok_or_else(|| wrong("input_boxes"))?);
            }
            if let Some(masks) = &masks {
                // One mask serves all prompts.
                prompt.mask = masks.get(index).or(masks.first()).cloned();
            }
            Ok(prompt)
        })
        .collect()
}
