//! The toybox: a renderer of plush toys whose masks, boxes and identities are known exactly.
//!
//! A [`Toy`] is an identity: what captions name ([`Kind`], [`Color`], [`Pattern`], [`Accessory`]) and [`Traits`] that
//! no caption names. A [`Pose`] is what changes from photo to photo. A [`Scene`] puts one to five posed toys before a
//! [`Background`]; it renders to a picture together with the visible mask and the box of each toy, and it captions
//! itself.
//!
//! ```
//! use mudi_toybox::{Options, Scene};
//!
//! let mut rng = mudi_domain::rng::stream(7, "example", 0);
//! let scene = Scene::random(&mut rng, &Options::default());
//! let rendered = scene.render();
//! assert_eq!(rendered.masks.len(), scene.toys.len());
//! println!("{}", scene.caption(&mut rng));
//! ```
//!
//! Everything is a pure function of its arguments; randomness comes from the generator that the caller hands in.

mod background;
mod caption;
mod data_set;
mod draw;
mod layout;
mod named;
mod palette;
mod pose;
mod scene;
mod split;
mod toy;

pub use background::Background;
pub use caption::random_identifier;
pub use data_set::{DataSetError, Naming, Photo, identifier, photo_set, subject_name, write_data_set};
pub use palette::{Color, Rgb};
pub use pose::{Light, Pose};
pub use scene::{MAX_TOYS, Options, Rendered, Scene};
pub use split::{is_held_out, similar_group, similar_pair};
pub use toy::{Accessory, AccessoryKind, EyeStyle, HatStyle, Kind, Pattern, Side, Toy, Traits};
