//! The page, in a real Chromium, on the real program with the model that ships.

mod accessible;
mod deeds;
mod faults;
mod files;
mod kept;
mod keyboard;
mod play;
mod shelf;
mod size;
mod unsent;
mod way;
