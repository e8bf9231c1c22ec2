//! Networks that see: what images go through before them ([`preprocess`]), who is in an image ([`dino`], [`dreamsim`]) and
//! where ([`owl`]). Generic over an [`Engine`](mudi_diffusion::Engine), and without any input or output of files, so that a
//! browser can use them.
//!
//! As in `mudi-diffusion`, each network is written once, reads the fields of the published `config.json`, and asks for its
//! weights by the published names.

pub mod dino;
pub mod dreamsim;
pub mod owl;
pub mod preprocess;
mod vit;
