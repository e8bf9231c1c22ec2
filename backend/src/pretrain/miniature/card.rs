//! The card of a miniature: what it is, what it saw, how it learnt.

use super::{Miniature, Options, PretrainError, State, architecture};
use crate::files::write_atomically;
use crate::pretrain::card::{recent, standalone, told};
use crate::report::chart::loss_chart;

/// Writes `README.md` and the chart of losses beside the network.
pub(super) fn write(options: &Options, state: &State) -> Result<(), PretrainError> {
    let chart = standalone(&loss_chart(&state.losses));
    write_atomically(&options.out.join("loss.svg"), chart.as_bytes())?;
    Ok(write_atomically(&options.out.join("README.md"), text(options, state).as_bytes())?)
}

/// The title, the tag that model hubs sort by, what it does, and how it learnt.
fn words(network: Miniature) -> [&'static str; 4] {
    match network {
        Miniature::Owlv2 => [
            "OWLv2 in miniature, for toys",
            "zero-shot-object-detection",
            "It finds the toys of the toybox that a text names: a kind (`bear`), a kind and a colour (`red bear`), or any `toy`.",
            "It learnt as OWL-ViT's paper describes detection: patches are assigned to toys at least cost, boxes learn by L1 and \
             generalized IoU, texts by focal loss; for the first seven tenths of the steps every patch on a toy learns it, and tells \
             its kind from the others by softmax, then one alone. Its text tower is pocket's text encoder, with a projection that reads \
             out which kind and colour a text names. There was no pretraining on captions, and no self-training, which made \
             OWLv2 of OWL-ViT.",
        ],
        Miniature::Sam => [
            "Segment Anything in miniature, for toys",
            "mask-generation",
            "It makes masks of the toys of the toybox, from a box or from points.",
            "It learnt from boxes (exact and loose ones), single points (three masks, of which the best learns), a point on the toy and \
             one beside it, and a correcting point with the earlier mask; by cross entropy and dice.",
        ],
        Miniature::Dinov2 => [
            "DINOv2 in miniature, for toys",
            "image-feature-extraction",
            "It tells the toys of the toybox apart: crops of one toy lie near to each other. The identity is the mean over all tokens of \
             the last hidden state.",
            "The published DINOv2 teaches itself without labels. This one was trained by contrast with labels (which pictures show the \
             same toy), in batches of 16 toys of two kinds, 4 pictures of each; it has DINOv2's architecture, not its training.",
        ],
        Miniature::Reader => [
            "The probe classifier of the toybox",
            "image-classification",
            "It reads what a picture of the toybox shows: how many toys, kind and colour of each, and the background. `mudi probe base` \
             measures with it whether a base model draws what it is asked for.",
            "It is the encoder of an autoencoder with other numbers, and says for each cell of 8 x 8 pixels whether a toy's middle is there, \
             whether a toy is, and its kind and colour, by cross entropy; the background is the mean over all cells. It has seen renders \
             alone, never a picture that a model has drawn.",
        ],
    }
}

fn text(options: &Options, state: &State) -> String {
    let [title, tag, what, how] = words(options.network);
    let from = options.from.as_ref().map_or(String::new(), |from| format!(" --from {}", from.display()));
    let began =
        if from.is_empty() { "" } else { " It began with the weights of the network that --from names." };
    let (seed, steps, planned) = (options.seed, state.step(), options.steps);
    let name = options.network.folder();
    let network = name.trim_end_matches("-toybox");
    let early = if steps < planned { ", written before its end" } else { "" };
    let side = if options.network == Miniature::Dinov2 { architecture::CROP } else { architecture::SIDE };
    // The reader is nobody's but ours.
    let reader = options.network == Miniature::Reader;
    let library = if reader { "" } else { "library_name: transformers\n" };
    let purpose = if reader {
        ""
    } else {
        ": it exists so that MuDI Studio can find, cut out and compare subjects where no published weights are at\nhand"
    };
    let layout =
        if reader { "holds `config.json` and `model.safetensors`" } else { "is in transformers' layout" };
    let probe = if reader { "base" } else { "vision" };
    let share = if options.network == Miniature::Dinov2 { "a quarter" } else { "half" };
    let drawn = if reader {
        String::new()
    } else {
        format!("{share} of them pocket has drawn anew from noisy copies (SDEdit); ")
    };
    format!(
        "---
license: mit
{library}pipeline_tag: {tag}
---
# {title}

{what} It knows nothing else{purpose}. The folder {layout}, weights in half precision; it reads {side} x {side} pixels.

## Data
Pictures of the toybox, the renderer in `backend/toybox`, drawn while training goes on, of toys that are not held out; {drawn}some are
softened by pocket's autoencoder, blurred, noisy, compressed or cut. Nobody's photos, no licence but this repository's (MIT OR
Apache-2.0).

## Training
    mudi pretrain --network {network} --run {run}{from} --seed {seed} --steps {planned}

{how}{began} It made {steps} steps{early}; the mean loss of the last hundred is {loss}. The weights are running averages.

![Loss](loss.svg)

## How good it is
    mudi probe {probe}

prints how well it does on toys that are held out of training.
",
        run = told(&options.run),
        loss = recent(&state.losses),
    )
}
