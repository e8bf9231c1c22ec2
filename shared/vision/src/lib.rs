//! Networks that see: [`sam`] cuts out what is pointed at; and [`grabcut`], which does so without a network. Generic over an [`Engine`](mudi_diffusion::Engine), and without any
//! input or output of files, so that a browser can use them.
//!
//! As in `mudi-diffusion`, each network is written once, reads the fields of the published `config.json`, and asks for its
//! weights by the published names.

pub mod grabcut;
pub mod preprocess;
pub mod sam;
mod windows;
