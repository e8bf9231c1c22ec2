//! What browser and server must agree on: subjects, masks, collages, layouts, recipes.
//!
//! Nothing here reads a file or a clock. Every result is a pure function of its arguments (and, where something is
//! drawn, of a [`rng::Stream`]), on the server and in the browser alike: the collage that a page shows is, pixel for
//! pixel, the collage that the server encodes.

pub mod api;
pub mod aspect;
pub mod collage;
pub mod compare;
pub mod cutmix;
pub mod cutout;
pub mod geometry;
pub mod grabcut;
pub mod layout;
pub mod mask;
pub mod metadata;
pub mod prompt;
pub mod recipe;
pub mod rng;
pub mod segmix;
pub mod statistics;
pub mod subject;
