//! End to end tests of MuDI Studio: what they share.
pub mod fixtures;
