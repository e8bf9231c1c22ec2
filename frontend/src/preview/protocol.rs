//! What the page and the worker say to each other.

use mudi_domain::api::{MaskPrompt, PreviewModel, SegmenterModel};
use serde::{Deserialize, Serialize};

use crate::runs::Runs;

/// A layout as it is encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Canvas {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    /// `[height, width, 3]`.
    pub(crate) pixels: Vec<u8>,
    /// Where subjects are, at the size of latents, 0 to 1.
    pub(crate) mask: Vec<f32>,
}

/// What is to be painted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wish {
    pub(crate) prompt: String,
    pub(crate) negative: String,
    pub(crate) canvas: Option<Canvas>,
    pub(crate) gamma: f32,
    pub(crate) seed: u64,
    pub(crate) steps: u32,
    pub(crate) guidance: f32,
}

/// What the page asks of the worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// To load a model of this project, named by its path in the API. One that is large is not loaded before it is `agreed` to.
    Load { project: String, model: PreviewModel, agreed: bool },
    /// To paint; whatever is being painted is dropped.
    Paint { number: u64, wish: Wish },
    /// To drop what is being painted.
    Rest,
    /// To lose the GPU, as drivers do: for tests.
    LoseDevice,
    /// Something of clicks.
    Click(ClickAsk),
    /// Something of the server's latents.
    Latents(LatentsAsk),
}

/// What the page asks of the worker where the server makes pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum LatentsAsk {
    /// To load the decoder of a model of this project, named by its path in the API. One that is large is not loaded before it is
    /// `agreed` to.
    Open { project: String, model: PreviewModel, agreed: bool },
    /// The pictures of `[pictures, height, width, channels]`; of several such wishes the last one is fulfilled.
    Decode { number: u64, shape: [usize; 4], values: Vec<f32> },
}

/// What the page asks of the worker where masks follow the pointer. Prompts are in pixels of the photo.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ClickAsk {
    /// To load the segmenter's decoder and what the server has seen in a photo. All that is asked later is about that photo.
    Open {
        /// The project's path in the API.
        project: String,
        model: SegmenterModel,
        /// The photo's path in the API.
        photo: String,
        width: u32,
        height: u32,
    },
    /// What would be found, as a small mask; of several such questions the last one is answered.
    Look { number: u64, prompt: MaskPrompt },
    /// What is found, as a mask of the photo's size.
    Click { number: u64, prompt: MaskPrompt },
    /// To lose the GPU, as drivers do: for tests.
    LoseDevice,
}

/// What the worker tells the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// The model does not fit the device, and why. None of it has been loaded.
    Misfit { reason: String },
    /// The model is large: `bytes` would be loaded, and about `memory` bytes of the device's taken.
    Large { bytes: u64, memory: u64 },
    /// So many bytes of the model are here.
    Loading { received: u64, total: u64 },
    /// The model is ready on that device.
    Ready { device: String, gpu: bool, emulated: bool },
    /// This worker's kind of device is not there.
    NoDevice { reason: String },
    /// The GPU was lost and is being set up again.
    Lost,
    /// What a picture will be like, after so many steps.
    Picture {
        number: u64,
        step: u32,
        steps: u32,
        width: u32,
        height: u32,
        pixels: Vec<u8>,
        milliseconds: f64,
        held: Held,
    },
    /// There is no picture, and why.
    Failed { reason: String },
    /// Something of clicks.
    Click(ClickTell),
    /// Something of the server's latents.
    Latents(LatentsTell),
}

/// Memory that the worker holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The device's own.
    pub(crate) device: u64,
    /// The program's.
    pub(crate) program: u64,
}

/// What the worker tells the page where the server makes pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum LatentsTell {
    /// The decoder is large: so many bytes would be loaded.
    Large { bytes: u64 },
    /// The decoder is ready, on a GPU or on the processor.
    Ready { gpu: bool },
    /// This worker's kind of device is not there.
    NoDevice,
    /// Pictures, `[height, width, 3]` each.
    Decoded { number: u64, width: u32, height: u32, pictures: Vec<Vec<u8>> },
    /// There are none.
    Failed,
}

/// What the worker tells the page where masks follow the pointer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ClickTell {
    /// So many bytes of the decoder are here.
    Loading { received: u64, total: u64 },
    /// The server looks at the photo.
    Seeing,
    /// Everything is ready on that device.
    Ready { device: String, gpu: bool, emulated: bool },
    /// This worker's kind of device is not there.
    NoDevice { reason: String },
    /// The GPU was lost and is being set up again.
    Lost,
    /// What would be found; none where nothing is seen there.
    Looked { number: u64, mask: Option<Runs>, milliseconds: f64 },
    /// What is found; none where nothing is seen there.
    Found { number: u64, mask: Option<Runs>, milliseconds: f64 },
    /// There are no masks, and why.
    Failed { reason: String },
}
