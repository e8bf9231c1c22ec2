//! What browser and server must agree on: subjects, masks, collages, layouts, recipes.

pub mod rng;
