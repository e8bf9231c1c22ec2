//! Networks that see: where what a text names is ([`owl`]), which pixels are it ([`sam`]), and who it is ([`dino`],
//! [`dreamsim`]); and what images go through before them ([`preprocess`]). Generic over an
//! [`Engine`](mudi_diffusion::Engine), and without any input or output of files, so that a browser can use them.
//!
//! As in `mudi-diffusion`, each network is written once, reads the fields of the published `config.json`, and asks for its
//! weights by the published names.

pub mod dino;
pub mod dreamsim;
pub mod owl;
pub mod preprocess;
pub mod sam;
mod vit;
mod windows;
