//! MuDI Studio's backend: data sets, training, generation, evaluation and the server, behind one binary.

pub mod allocator;
pub mod base;
pub mod bench;
pub mod benchmark;
pub mod dataset;
pub mod demo;
pub mod device;
mod digest;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod generate;
pub mod improve;
pub mod interrupt;
pub mod models;
pub mod plan;
pub mod pretrain;
pub mod probe;
pub mod report;
mod ridge;
pub mod segment;
pub mod server;
pub mod train;
pub mod vision;
