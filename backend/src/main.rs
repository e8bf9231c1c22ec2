//! MuDI Studio: personalize a text-to-image model for several subjects without mixing them up.

fn main() {}
