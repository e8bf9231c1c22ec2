//! Diffusion networks, noise schedules, samplers and tokenizer, generic over an engine.
pub mod schedule;
pub mod tokenizer;
