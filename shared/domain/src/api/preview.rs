//! The model that a visitor's browser runs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::RunSubject;

/// A small base model, and the project's own LoRA on it, for pictures of layouts in the browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewModel {
    /// The base model.
    pub name: String,
    /// Side of the square pictures that it makes, in pixels: as the LoRA was trained, or the base's own.
    pub side: u32,
    /// Pixels that one latent stands for, in each direction.
    pub reduction: u32,
    /// What both sides of pictures that are not square are multiples of, in pixels.
    pub multiple: u32,
    /// The negative prompt that suits it.
    pub negative: String,
    /// Classifier-free guidance scale of its previews; 1 and less leave it out.
    pub guidance: f32,
    /// Its files, to be had under `/api/projects/{project}/preview/files/{sha256}`.
    pub files: Vec<PreviewFile>,
    /// The LoRA of the newest finished run on this base, if there is one; to be had as that run's weights.
    pub lora: Option<PreviewLora>,
    /// What it takes of a device, for pictures of `side`.
    pub needs: PreviewNeeds,
    /// What its decoder alone takes, for the server's latents.
    pub decoder: PreviewNeeds,
}

/// What networks take of a device, in values. Devices hold a value in two bytes or in four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewNeeds {
    /// Values of all weights.
    pub weights: u64,
    /// Of the largest of them.
    pub largest_weight: u64,
    /// Of all other tensors, at the moment when most are held.
    pub activations: u64,
    /// Of the largest of them.
    pub largest_activation: u64,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewFile {
    /// Its path in the model's folder, as diffusers lays it out.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// A LoRA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewLora {
    /// The run that trained it.
    pub run: Uuid,
    /// The run's name.
    pub name: String,
    /// `alpha` of its recipe.
    pub alpha: f64,
    /// Size of its file.
    pub bytes: u64,
    /// The subjects that it knows, under the names that they had when it was trained: prompts have to use these.
    pub subjects: Vec<RunSubject>,
}

/// The part of the server's segmenter (Segment Anything) that a browser runs: with a photo's embedding it makes a mask of
/// every click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SegmenterModel {
    /// Side of the square in which it sees photos, in pixels: 1024 for the published ones.
    pub side: u32,
    /// `config.json` and `model.safetensors` of prompt encoder and mask decoder, to be had under
    /// `/api/projects/{project}/segmenter/files/{sha256}`.
    pub files: Vec<PreviewFile>,
}
