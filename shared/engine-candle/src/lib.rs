//! The engine on candle: kernels, gradients, checkpointing, weights.
