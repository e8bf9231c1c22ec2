//! The mask editor and the layout designer in a real browser, against the real server. The program must have the page in it:
//! `cargo xtask page` builds it.

mod clicks;
mod dragging;
mod finding;
mod latents;
mod layouts;
mod masks;
mod preview;
mod room;
mod speed;
mod two_writers;
