//! Checkpoints in one file, with the names of the code that Stable Diffusion was first published with ("LDM"), as
//! CivitAI and ComfyUI use them.
//!
//! A network asks for its weights by diffusers' names; [`Checkpoint::stored`] says where the file has them. Such a file has
//! no configuration: [`Checkpoint::detect`] reads the sizes off the shapes of its tensors.

mod detect;
mod text;
mod unet;
mod vae;

use crate::clip::ClipTextConfig;
use crate::component::Component;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

pub use unet::module as unet_module;

/// What the UNet's names start with.
pub const UNET: &str = "model.diffusion_model.";
/// What the autoencoder's names start with.
const VAE: &str = "first_stage_model.";

/// Shapes of a file's tensors by name, in the file's layout.
pub type ShapeOf<'a> = dyn Fn(&str) -> Option<Vec<usize>> + 'a;

/// Where a file has a weight, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The tensor's name in the file.
    pub name: String,
    /// Which part of it is the weight.
    pub part: Part,
}

/// Which part of a file's tensor is a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// All of it, rows and columns exchanged.
    Transposed,
    /// The rows of one third: query (0), key (1) and value (2) lie in one tensor.
    Third(usize),
}

impl Stored {
    fn whole(name: String) -> Self {
        Self { name, part: Part::Whole }
    }
}

/// The tools whose names a text encoder of a checkpoint has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TextNames {
    /// transformers' names after this prefix.
    Transformers(&'static str),
    /// OpenCLIP's names after this prefix; some tools leave the projection of the pooled state as transformers has it (`linear`).
    OpenClip { prefix: &'static str, linear: bool },
}

/// A text encoder of a checkpoint.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    /// Its configuration.
    pub config: ClipTextConfig,
    /// Whether texts are padded with the token 0 (`!`) rather than the end token, as OpenCLIP's encoders were used.
    pub pads_with_zero: bool,
    names: TextNames,
}

/// How a file names the weights of its autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaeNames {
    /// Whether they start with `first_stage_model.`.
    prefixed: bool,
    /// Whether the attention's layers have diffusers' names (`to_q`), as some versions of its own conversion have left them.
    attention_of_diffusers: bool,
}

/// What the sizes of a checkpoint's tensors say about its networks.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The denoiser.
    pub unet: UNetConfig,
    /// The autoencoder; the usual one of the family where the file holds none.
    pub vae: VaeConfig,
    /// Whether the file holds its weights.
    pub holds_vae: bool,
    vae_names: VaeNames,
    /// One text encoder, or SDXL's two.
    pub text: Vec<TextEncoder>,
}

impl Checkpoint {
    /// A checkpoint to be written, of networks with these configurations.
    #[must_use]
    pub fn of(unet: UNetConfig, vae: VaeConfig, text: Vec<ClipTextConfig>) -> Self {
        let several = text.len() > 1;
        let text = text.into_iter().enumerate().map(|(index, config)| {
            // OpenCLIP's encoders have the activation of the paper, OpenAI's an approximation.
            let open_clip = index > 0 || (!several && config.hidden_act == "gelu");
            let names = match (open_clip, several) {
                (true, _) => {
                    TextNames::OpenClip { prefix: detect::OPEN_CLIP[usize::from(several)], linear: false }
                }
                (false, _) => TextNames::Transformers(detect::TRANSFORMERS[usize::from(several)]),
            };
            TextEncoder { config, pads_with_zero: open_clip, names }
        });
        let vae_names = VaeNames { prefixed: true, attention_of_diffusers: false };
        Self { unet, vae, holds_vae: true, vae_names, text: text.collect() }
    }

    /// How many layers a text encoder has in the file beyond those that are used: SD 2 is conditioned on the last layer but
    /// one.
    #[must_use]
    pub fn unused_text_layers(&self) -> usize {
        usize::from(self.text.len() == 1 && matches!(self.text[0].names, TextNames::OpenClip { .. }))
    }

    /// Where the file has the weight that diffusers calls `name` in `component`; none where it has a name of another
    /// network.
    #[must_use]
    pub fn stored(&self, component: Component, name: &str) -> Option<Stored> {
        match component {
            Component::Unet => {
                let (module, leaf) = name.rsplit_once('.')?;
                Some(Stored::whole(format!("{UNET}{}.{leaf}", unet::module(&self.unet, module)?)))
            }
            Component::Vae => vae_stored(&self.vae, self.vae_names, name),
            Component::TextEncoder => self.text.first()?.stored(name),
            Component::TextEncoder2 => self.text.get(1)?.stored(name),
        }
    }
}

/// Where a file has the weight of its autoencoder that diffusers calls `name`.
#[must_use]
pub fn vae_stored(config: &VaeConfig, names: VaeNames, name: &str) -> Option<Stored> {
    let (module, leaf) = name.rsplit_once('.')?;
    let prefix = if names.prefixed { VAE } else { "" };
    Some(Stored::whole(format!("{prefix}{}.{leaf}", vae::module(config, names, module)?)))
}

/// The configuration of the autoencoder that a file holds with the names of LDM, and how it names them; none where it holds none.
///
/// A file does not tell the scaling factor; it is that of SD 1.5 and 2.1.
#[must_use]
pub fn detect_vae(shape: &ShapeOf<'_>) -> Option<(VaeConfig, VaeNames)> {
    [true, false].into_iter().find_map(|prefixed| {
        let below = |name: &str| shape(&format!("{}{name}", if prefixed { VAE } else { "" }));
        let names = VaeNames { prefixed, attention_of_diffusers: detect::has_attention_of_diffusers(&below) };
        Some((detect::vae(&below)?, names))
    })
}

#[cfg(test)]
pub(crate) mod tests;
