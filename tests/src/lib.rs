//! What the end to end tests share.

pub mod bases;
pub mod browser;
pub mod fixtures;
pub mod golden;
pub mod hands;
pub mod outside;
pub mod patience;
pub mod pictures;
pub mod served;
pub mod workshop;
